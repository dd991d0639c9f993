#include "endpoint.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct text text_trim(struct text text) {
    while (text.length > 0 && is_space(text.start[0])) {
        text.start++;
        text.length--;
    }
    while (text.length > 0 && is_space(text.start[text.length - 1])) text.length--;
    return text;
}

void text_show(struct text text, char shown[TEXT_SHOWN_SIZE]) {
    static const char more[] = "...";
    size_t length = text.length;
    bool cut = length >= TEXT_SHOWN_SIZE;
    if (cut) length = TEXT_SHOWN_SIZE - sizeof more;
    for (size_t at = 0; at < length; at++) {
        char c = text.start[at];
        // Text for the host must be UTF-8, which a truncated or invalid sequence is not.
        shown[at] = c >= ' ' && c <= '~' ? c : '?';
    }
    if (cut) {
        memcpy(shown + length, more, sizeof more);
    } else {
        shown[length] = '\0';
    }
}

// The port, or 0 if the text is not one.
static uint16_t parse_port(struct text text) {
    unsigned port = 0;
    if (text.length == 0 || text.length > 5) return 0;
    for (size_t at = 0; at < text.length; at++) {
        char c = text.start[at];
        if (c < '0' || c > '9') return 0;
        port = port * 10 + (unsigned)(c - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool parse_address(struct text text, int family, char address[ADDRESS_SIZE]) {
    unsigned char bytes[16];
    if (text.length >= ADDRESS_SIZE || memchr(text.start, '\0', text.length)) return false;
    memcpy(address, text.start, text.length);
    address[text.length] = '\0';
    return inet_pton(family, address, bytes) == 1;
}

static size_t count(struct text text, char wanted) {
    size_t found = 0;
    for (size_t at = 0; at < text.length; at++) found += text.start[at] == wanted;
    return found;
}

const char *endpoint_parse(struct text text, struct endpoint *endpoint) {
    struct text address = text;
    struct text port = {NULL, 0};
    bool bracketed = text.length > 0 && text.start[0] == '[';
    size_t colons = count(text, ':');

    if (bracketed) {
        const char *end = memchr(text.start, ']', text.length);
        if (!end) return "lacks its ]";
        address = (struct text){text.start + 1, (size_t)(end - text.start) - 1};
        struct text rest = {end + 1, text.length - address.length - 2};
        if (rest.length > 0) {
            if (rest.start[0] != ':') return "has more than a port after its ]";
            port = (struct text){rest.start + 1, rest.length - 1};
        }
    } else if (colons == 1) {
        const char *colon = memchr(text.start, ':', text.length);
        address.length = (size_t)(colon - text.start);
        port = (struct text){colon + 1, text.length - address.length - 1};
    }

    int family = bracketed || colons > 1 ? AF_INET6 : AF_INET;
    if (!parse_address(address, family, endpoint->address)) {
        return family == AF_INET6 ? "is not an IPv6 address" : "is not an IPv4 address";
    }
    endpoint->port = port.start ? parse_port(port) : 0;
    if (port.start && endpoint->port == 0) return "has no port from 1 to 65535 after its address";
    return NULL;
}
