// A file of addresses: one a line, white space and comments from # on ignored.

#ifndef FILE_H
#define FILE_H

#include "place.h"

enum {
    // More places than this, and the rest of the file is not read.
    FILE_PLACES_MAX = 4096,
    // Malformed lines that are kept to be told of; the others are counted.
    FILE_FAULTS_MAX = 8,
};

// A line that is no place.
struct fault {
    // The first line is 1.
    size_t line;
    // What stands there.
    struct text text;
    // What it lacks, as `place_parse` says it.
    const char *lacks;
};

struct file {
    struct place *places;
    size_t count;
    // The first `FILE_FAULTS_MAX` of the malformed lines.
    struct fault faults[FILE_FAULTS_MAX];
    size_t malformed;
    // Whether there are more places than `FILE_PLACES_MAX`.
    bool overlong;
};

// Parses a file's content, whatever its bytes are. Faults point into it.
void file_parse(struct text content, struct file *file);

// Frees the places.
void file_free(struct file *file);

#endif
