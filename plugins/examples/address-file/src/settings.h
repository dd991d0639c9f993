// How an operator configured the mode.

#ifndef SETTINGS_H
#define SETTINGS_H

#include "place.h"

enum {
    // What the host's store takes as a name.
    FILE_NAME_MAX = 64,
    SETTINGS_PROBLEM_SIZE = 200,
    LOOK_AGAIN_MS_DEFAULT = 1000,
    LOOK_AGAIN_MS_MIN = 100,
    LOOK_AGAIN_MS_MAX = 3600000,
};

struct settings {
    // The value of the store to watch.
    char file[FILE_NAME_MAX + 1];
    // Milliseconds between two looks.
    uint32_t look_again_ms;
};

// Where each of these finds a fault, it returns false and `problem` says what was
// read and what is expected.

// Takes the argument, a file's name, and the default of every setting.
bool settings_start(struct settings *settings, struct text argument,
                    char problem[SETTINGS_PROBLEM_SIZE]);

// Takes one setting.
bool settings_set(struct settings *settings, struct text key, struct text value,
                  char problem[SETTINGS_PROBLEM_SIZE]);

#endif
