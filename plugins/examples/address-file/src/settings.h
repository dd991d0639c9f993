// The configuration of the mode.

#ifndef SETTINGS_H
#define SETTINGS_H

#include "endpoint.h"

enum {
    // The maximum length of a name in the host's store.
    FILE_NAME_MAX = 64,
    SETTINGS_PROBLEM_SIZE = 200,
    LOOK_AGAIN_MS_DEFAULT = 1000,
    LOOK_AGAIN_MS_MIN = 100,
    LOOK_AGAIN_MS_MAX = 3600000,
};

struct settings {
    // The name of the value in the store to watch.
    char file[FILE_NAME_MAX + 1];
    // Milliseconds between two calls.
    uint32_t look_again_ms;
};

// These functions return false on an error; `problem` then contains the offending value and
// what was expected.

// Sets the argument, a file name, and the defaults of all settings.
bool settings_start(struct settings *settings, struct text argument,
                    char problem[SETTINGS_PROBLEM_SIZE]);

// Sets one setting.
bool settings_set(struct settings *settings, struct text key, struct text value,
                  char problem[SETTINGS_PROBLEM_SIZE]);

#endif
