#include "log.h"

void log_line(convoke_host_log_level_t level, const char *message,
              const struct field fields[LOG_FIELDS_MAX]) {
    mode_tuple2_string_string_t pairs[LOG_FIELDS_MAX];
    mode_list_tuple2_string_string_t list = {pairs, 0};
    while (list.len < LOG_FIELDS_MAX && fields[list.len].key) {
        mode_string_set(&pairs[list.len].f0, fields[list.len].key);
        mode_string_set(&pairs[list.len].f1, fields[list.len].value);
        list.len++;
    }
    mode_string_t text;
    mode_string_set(&text, message);
    convoke_host_log_log(level, &text, &list);
}
