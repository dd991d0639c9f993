// Minimal test support.

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

#include "../src/endpoint.h"

static int failures;

#define CHECK(what)                                                            \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #what); \
            failures++;                                                        \
        }                                                                      \
    } while (0)

#define CHECK_TEXT(got, expected) check_text(__FILE__, __LINE__, got, expected)

static inline void check_text(const char *file, int line, const char *got, const char *expected) {
    if (strcmp(got, expected) != 0) {
        fprintf(stderr, "%s:%d:\n  got:      %s\n  expected: %s\n", file, line, got, expected);
        failures++;
    }
}

static inline struct text text(const char *chars) {
    return (struct text){chars, strlen(chars)};
}

static inline int verdict(const char *name) {
    if (failures == 0) printf("%s: all passed\n", name);
    return failures != 0;
}

#endif
