// Lines in the member's log.

#ifndef LOG_H
#define LOG_H

#include "mode.h"

enum { LOG_FIELDS_MAX = 4 };

struct field {
    const char *key;
    const char *value;
};

// Logs `message` with fields, at most `LOG_FIELDS_MAX`; one without a key ends them.
void log_line(convoke_host_log_level_t level, const char *message,
              const struct field fields[LOG_FIELDS_MAX]);

#endif
