// The functions that the host calls. The callee owns and frees the arguments; the caller owns
// the results, and frees them with free().

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "log.h"
#include "settings.h"

enum {
    MESSAGE_SIZE = 128,
    // The length of a size_t in decimal.
    NUMBER_SIZE = 24,
};

static struct settings settings;

// The content that was read last.
static struct {
    bool read;
    mode_list_u8_t content;
    struct file file;
} known;

// Sets the problem, and returns false.
__attribute__((format(printf, 3, 4)))
static bool fail(exports_convoke_discovery_strategy_problem_t *problem, uint8_t tag,
                 const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!text) abort();
    va_start(values, format);
    vsnprintf(text, (size_t)length + 1, format, values);
    va_end(values);
    problem->tag = tag;
    // Every case carries one string, at the same position.
    problem->val.failed.ptr = (uint8_t *)text;
    problem->val.failed.len = (size_t)length;
    return false;
}

static struct text text_of(const mode_string_t *string) {
    return (struct text){(const char *)string->ptr, string->len};
}

bool exports_convoke_discovery_strategy_configure(
    exports_convoke_discovery_strategy_mode_config_t *config,
    exports_convoke_discovery_strategy_local_member_t *me,
    exports_convoke_discovery_strategy_problem_t *problem) {
    char text[SETTINGS_PROBLEM_SIZE];
    bool sound = settings_start(&settings, text_of(&config->argument), text);
    for (size_t at = 0; sound && at < config->settings.len; at++) {
        const mode_tuple2_string_string_t *setting = &config->settings.ptr[at];
        sound = settings_set(&settings, text_of(&setting->f0), text_of(&setting->f1), text);
    }
    exports_convoke_discovery_strategy_mode_config_free(config);
    exports_convoke_discovery_strategy_local_member_free(me);
    return sound || fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_MISCONFIGURED, "%s", text);
}

// Reports an error of the store, and frees it.
static bool fail_to_load(exports_convoke_discovery_strategy_problem_t *problem,
                         convoke_host_store_store_error_t *error) {
    if (error->tag == CONVOKE_HOST_STORE_STORE_ERROR_DENIED) {
        fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_DENIED,
             "\"%s\" cannot be read without a store; grant = { store = \"64KiB\" }", settings.file);
    } else if (error->tag == CONVOKE_HOST_STORE_STORE_ERROR_OTHER) {
        fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_TEMPORARY, "\"%s\" cannot be read: %.*s",
             settings.file, (int)error->val.other.len, (const char *)error->val.other.ptr);
    } else if (error->tag == CONVOKE_HOST_STORE_STORE_ERROR_FULL) {
        fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_FAILED,
             "\"%s\" is larger than the %llu bytes that are granted; raise grant = { store = … }",
             settings.file, (unsigned long long)error->val.full);
    } else {
        fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_FAILED, "\"%s\" is not a valid name for the store",
             settings.file);
    }
    convoke_host_store_store_error_free(error);
    return false;
}

static void log_faults(const struct file *file) {
    char number[NUMBER_SIZE];
    for (size_t at = 0; at < file->malformed && at < FILE_FAULTS_MAX; at++) {
        const struct fault *fault = &file->faults[at];
        char shown[TEXT_SHOWN_SIZE];
        char message[MESSAGE_SIZE];
        text_show(fault->text, shown);
        snprintf(message, sizeof message, "line skipped: \"%s\" %s", shown, fault->lacks);
        snprintf(number, sizeof number, "%zu", fault->line);
        log_line(CONVOKE_HOST_LOG_LEVEL_WARN, message,
                 (struct field[LOG_FIELDS_MAX]){{"file", settings.file}, {"line", number}});
    }
    if (file->malformed > FILE_FAULTS_MAX) {
        snprintf(number, sizeof number, "%zu", file->malformed - FILE_FAULTS_MAX);
        log_line(CONVOKE_HOST_LOG_LEVEL_WARN, "more lines skipped",
                 (struct field[LOG_FIELDS_MAX]){{"file", settings.file}, {"count", number}});
    }
    if (file->overlong) {
        snprintf(number, sizeof number, "%d", FILE_ADDRESSES_MAX);
        log_line(CONVOKE_HOST_LOG_LEVEL_WARN, "too many addresses; the rest is not used",
                 (struct field[LOG_FIELDS_MAX]){{"file", settings.file}, {"max", number}});
    }
}

// Takes ownership of the content, and logs changes.
static void take(mode_list_u8_t *content) {
    bool same = known.read && content->len == known.content.len &&
                (content->len == 0 || memcmp(content->ptr, known.content.ptr, content->len) == 0);
    if (same) {
        mode_list_u8_free(content);
        return;
    }
    bool first = !known.read;
    size_t before = known.file.count;
    file_free(&known.file);
    mode_list_u8_free(&known.content);
    known.content = *content;
    known.read = true;
    file_parse((struct text){(const char *)content->ptr, content->len}, &known.file);

    char count[NUMBER_SIZE];
    char count_before[NUMBER_SIZE];
    snprintf(count, sizeof count, "%zu", known.file.count);
    snprintf(count_before, sizeof count_before, "%zu", before);
    log_line(CONVOKE_HOST_LOG_LEVEL_INFO, first ? "addresses read" : "addresses changed",
             (struct field[LOG_FIELDS_MAX]){{"file", settings.file},
                                            {"count", count},
                                            {first ? NULL : "before", count_before}});
    log_faults(&known.file);
}

static void fill(exports_convoke_discovery_strategy_snapshot_t *snapshot) {
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->look_again_ms.is_some = true;
    snapshot->look_again_ms.val = settings.look_again_ms;
    // The host drops invalid addresses, and treats a result without valid ones as a failure.
    size_t faults = known.file.malformed < FILE_FAULTS_MAX ? known.file.malformed : FILE_FAULTS_MAX;
    size_t total = known.file.count + faults;
    if (total == 0) return;
    convoke_discovery_types_candidate_t *candidates = calloc(total, sizeof *candidates);
    if (!candidates) abort();
    for (size_t at = 0; at < known.file.count; at++) {
        const struct endpoint *endpoint = &known.file.endpoints[at];
        mode_string_dup(&candidates[at].address, endpoint->address);
        candidates[at].port.is_some = endpoint->port != 0;
        candidates[at].port.val = endpoint->port;
    }
    for (size_t at = 0; at < faults; at++) {
        char shown[TEXT_SHOWN_SIZE];
        text_show(known.file.faults[at].text, shown);
        mode_string_dup(&candidates[known.file.count + at].address, shown);
    }
    snapshot->candidates.ptr = candidates;
    snapshot->candidates.len = total;
}

bool exports_convoke_discovery_strategy_discover(
    exports_convoke_discovery_strategy_snapshot_t *snapshot,
    exports_convoke_discovery_strategy_problem_t *problem) {
    mode_string_t name;
    mode_option_list_u8_t content;
    convoke_host_store_store_error_t error;
    mode_string_set(&name, settings.file);
    if (!convoke_host_store_load(&name, &content, &error)) return fail_to_load(problem, &error);
    if (!content.is_some) {
        return fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_TEMPORARY,
                    "\"%s\" is not in this mode's folder, which is logged at the start; create a "
                    "file of that name there, with one address such as 10.0.0.5:6900 a line",
                    settings.file);
    }
    take(&content.val);
    if (known.file.malformed > 0 && known.file.count == 0) {
        const struct fault *fault = &known.file.faults[0];
        char shown[TEXT_SHOWN_SIZE];
        text_show(fault->text, shown);
        return fail(problem, CONVOKE_DISCOVERY_TYPES_PROBLEM_FAILED,
                    "\"%s\" has no address: \"%s\" in line %zu %s; expected lines such as "
                    "10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900",
                    settings.file, shown, fault->line, fault->lacks);
    }
    fill(snapshot);
    return true;
}
