// One place where a member may listen: an address and, if it is given, a port.

#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Text of a known length; no NUL ends it.
struct text {
    const char *start;
    size_t length;
};

enum {
    // The longest IPv6 literal and its NUL.
    PLACE_ADDRESS_SIZE = 46,
    // What `text_show` writes at most, its NUL included.
    TEXT_SHOWN_SIZE = 48,
};

struct place {
    // An IPv4 or IPv6 literal, without brackets.
    char address[PLACE_ADDRESS_SIZE];
    // 1 to 65535; 0 when none was given.
    uint16_t port;
};

// Parses `10.0.0.5`, `10.0.0.5:6900`, `fd00::5`, `[fd00::5]` or
// `[fd00::5]:6900`. Returns NULL when it is one of them, else what it lacks.
const char *place_parse(struct text text, struct place *place);

// Writes the text as a log may show it: plain ASCII, shortened when it is long.
void text_show(struct text text, char shown[TEXT_SHOWN_SIZE]);

// The text without the white space around it.
struct text text_trim(struct text text);

#endif
