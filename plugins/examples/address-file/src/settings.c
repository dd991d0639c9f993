#include "settings.h"

#include <stdio.h>
#include <string.h>

static bool is(struct text text, const char *expected) {
    return text.length == strlen(expected) && memcmp(text.start, expected, text.length) == 0;
}

static bool is_name(struct text text) {
    if (text.length == 0 || text.length > FILE_NAME_MAX) return false;
    for (size_t at = 0; at < text.length; at++) {
        char c = text.start[at];
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool mark = c == '-' || c == '_' || c == '.';
        if (!alphanumeric && !(mark && at > 0)) return false;
    }
    return true;
}

bool settings_start(struct settings *settings, struct text argument,
                    char problem[SETTINGS_PROBLEM_SIZE]) {
    static const char file[] = "addresses";
    settings->look_again_ms = LOOK_AGAIN_MS_DEFAULT;
    struct text name = text_trim(argument);
    if (name.length == 0) name = (struct text){file, sizeof file - 1};
    if (!is_name(name)) {
        char shown[TEXT_SHOWN_SIZE];
        text_show(name, shown);
        snprintf(problem, SETTINGS_PROBLEM_SIZE,
                 "\"%s\" is not a file name for the argument; expected up to %d of a-z, 0-9, "
                 "'-', '_' and '.', the first a letter or a digit",
                 shown, FILE_NAME_MAX);
        return false;
    }
    memcpy(settings->file, name.start, name.length);
    settings->file[name.length] = '\0';
    return true;
}

// Parses a number with fewer than ten digits; -1 if the text is not one.
static int64_t parse_number(struct text text) {
    int64_t number = 0;
    if (text.length == 0 || text.length > 9) return -1;
    for (size_t at = 0; at < text.length; at++) {
        char c = text.start[at];
        if (c < '0' || c > '9') return -1;
        number = number * 10 + (c - '0');
    }
    return number;
}

bool settings_set(struct settings *settings, struct text key, struct text value,
                  char problem[SETTINGS_PROBLEM_SIZE]) {
    char shown[TEXT_SHOWN_SIZE];
    if (!is(key, "look-again-ms")) {
        text_show(key, shown);
        snprintf(problem, SETTINGS_PROBLEM_SIZE,
                 "\"%s\" is not a setting of this mode; the only setting is look-again-ms", shown);
        return false;
    }
    int64_t number = parse_number(value);
    if (number < LOOK_AGAIN_MS_MIN || number > LOOK_AGAIN_MS_MAX) {
        text_show(value, shown);
        snprintf(problem, SETTINGS_PROBLEM_SIZE,
                 "look-again-ms = \"%s\" is not a number of milliseconds from %d to %d", shown,
                 LOOK_AGAIN_MS_MIN, LOOK_AGAIN_MS_MAX);
        return false;
    }
    settings->look_again_ms = (uint32_t)number;
    return true;
}
