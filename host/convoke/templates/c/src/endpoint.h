// An address at which a member may listen, with an optional port.

#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Text with its length, not terminated by a NUL.
struct text {
    const char *start;
    size_t length;
};

enum {
    // The longest IPv6 literal, with its NUL.
    ADDRESS_SIZE = 46,
    // The maximum that `text_show` writes, with its NUL.
    TEXT_SHOWN_SIZE = 48,
};

struct endpoint {
    // An IPv4 or IPv6 literal, without brackets.
    char address[ADDRESS_SIZE];
    // 1 to 65535; 0 if none was given.
    uint16_t port;
};

// Parses `10.0.0.5`, `10.0.0.5:6900`, `fd00::5`, `[fd00::5]` or
// `[fd00::5]:6900`. Returns NULL, or what is wrong with the text.
const char *endpoint_parse(struct text text, struct endpoint *endpoint);

// Converts the text for a log line: printable ASCII only, and truncated if it is long.
void text_show(struct text text, char shown[TEXT_SHOWN_SIZE]);

// The text without leading and trailing white space.
struct text text_trim(struct text text);

#endif
