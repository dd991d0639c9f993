// A file of addresses, one per line. White space and comments starting with # are ignored.

#ifndef FILE_H
#define FILE_H

#include "endpoint.h"

enum {
    // The rest of a file with more addresses is ignored.
    FILE_ADDRESSES_MAX = 4096,
    // Malformed lines that are kept for the log; further ones are counted.
    FILE_FAULTS_MAX = 8,
};

// A malformed line.
struct fault {
    // The line number, starting at 1.
    size_t line;
    // The text of the line.
    struct text text;
    // What is wrong with it, as returned by `endpoint_parse`.
    const char *lacks;
};

struct file {
    struct endpoint *endpoints;
    size_t count;
    // The first `FILE_FAULTS_MAX` malformed lines.
    struct fault faults[FILE_FAULTS_MAX];
    size_t malformed;
    // Whether the file has more addresses than `FILE_ADDRESSES_MAX`.
    bool overlong;
};

// Parses a file's content, which may contain any bytes. The faults point into it.
void file_parse(struct text content, struct file *file);

// Frees the addresses.
void file_free(struct file *file);

#endif
