// Writes to the member's log.

#ifndef LOG_H
#define LOG_H

#include "mode.h"

enum { LOG_FIELDS_MAX = 4 };

struct field {
    const char *key;
    const char *value;
};

// Logs `message` with at most `LOG_FIELDS_MAX` fields; a field without a key ends the list.
void log_line(convoke_host_log_level_t level, const char *message,
              const struct field fields[LOG_FIELDS_MAX]);

#endif
