// Calls the mode with a fake host. Results are freed as the component's bindings do, so the
// sanitizer detects leaks.

#include <stdlib.h>

#include "check.h"
#include "mode.h"

enum { LOG_SIZE = 4096 };

// --- The fake host.

// The file's content; NULL if there is no file.
static const char *content;
// The error of the store; `NOT_REFUSED` for none.
enum { NOT_REFUSED = 255 };
static uint8_t refused = NOT_REFUSED;
// The lines logged since the last call of `discover`.
static char logged[LOG_SIZE];

bool convoke_host_store_load(mode_string_t *name, mode_option_list_u8_t *value,
                             convoke_host_store_store_error_t *error) {
    CHECK(name->len == strlen("addresses") && memcmp(name->ptr, "addresses", name->len) == 0);
    if (refused != NOT_REFUSED) {
        error->tag = refused;
        error->val.full = 65536;
        return false;
    }
    value->is_some = content != NULL;
    if (content) {
        value->val.len = strlen(content);
        value->val.ptr = value->val.len ? malloc(value->val.len) : NULL;
        if (value->val.len) memcpy(value->val.ptr, content, value->val.len);
    }
    return true;
}

static void append(const char *bytes, size_t length) {
    size_t used = strlen(logged);
    if (length >= LOG_SIZE - used) length = LOG_SIZE - used - 1;
    memcpy(logged + used, bytes, length);
    logged[used + length] = '\0';
}

void convoke_host_log_log(convoke_host_log_level_t level, mode_string_t *message,
                          mode_list_tuple2_string_string_t *fields) {
    append(level == CONVOKE_HOST_LOG_LEVEL_WARN ? "WARN " : "INFO ", 5);
    append((const char *)message->ptr, message->len);
    for (size_t at = 0; at < fields->len; at++) {
        append(" ", 1);
        append((const char *)fields->ptr[at].f0.ptr, fields->ptr[at].f0.len);
        append("=", 1);
        append((const char *)fields->ptr[at].f1.ptr, fields->ptr[at].f1.len);
    }
    append("\n", 1);
}

// --- The parts of the bindings that do not depend on WebAssembly.

void mode_string_set(mode_string_t *string, const char *chars) {
    string->ptr = (uint8_t *)chars;
    string->len = strlen(chars);
}

void mode_string_dup(mode_string_t *string, const char *chars) {
    string->len = strlen(chars);
    string->ptr = malloc(string->len + 1);
    memcpy(string->ptr, chars, string->len);
}

void mode_list_u8_free(mode_list_u8_t *list) {
    if (list->len > 0) free(list->ptr);
}

void convoke_host_store_store_error_free(convoke_host_store_store_error_t *error) {
    (void)error;
}

// The tests own what they pass.
void exports_convoke_discovery_strategy_mode_config_free(
    exports_convoke_discovery_strategy_mode_config_t *config) {
    (void)config;
}

void exports_convoke_discovery_strategy_local_member_free(
    exports_convoke_discovery_strategy_local_member_t *me) {
    (void)me;
}

// --- The tests.

static exports_convoke_discovery_strategy_snapshot_t snapshot;
static exports_convoke_discovery_strategy_problem_t problem;
static char problem_text[LOG_SIZE];

static bool keep_problem(bool done) {
    if (!done) {
        memcpy(problem_text, problem.val.failed.ptr, problem.val.failed.len);
        problem_text[problem.val.failed.len] = '\0';
        free(problem.val.failed.ptr);
    }
    return done;
}

static bool configure(const char *key, const char *value) {
    mode_tuple2_string_string_t setting;
    mode_string_set(&setting.f0, key);
    mode_string_set(&setting.f1, value);
    exports_convoke_discovery_strategy_mode_config_t config = {.settings = {&setting, key[0] != '\0'}};
    exports_convoke_discovery_strategy_local_member_t me = {0};
    mode_string_set(&config.argument, "");
    return keep_problem(exports_convoke_discovery_strategy_configure(&config, &me, &problem));
}

// Calls `discover`, and formats the candidates as one line.
static bool discover(char found[LOG_SIZE]) {
    found[0] = '\0';
    logged[0] = '\0';
    if (!keep_problem(exports_convoke_discovery_strategy_discover(&snapshot, &problem))) return false;
    size_t used = 0;
    for (size_t at = 0; at < snapshot.candidates.len; at++) {
        convoke_discovery_types_candidate_t *candidate = &snapshot.candidates.ptr[at];
        used += (size_t)snprintf(found + used, LOG_SIZE - used, "%.*s:%d ", (int)candidate->address.len,
                                 (const char *)candidate->address.ptr,
                                 candidate->port.is_some ? candidate->port.val : -1);
        free(candidate->address.ptr);
    }
    if (snapshot.candidates.len > 0) free(snapshot.candidates.ptr);
    return true;
}

int main(void) {
    char found[LOG_SIZE];

    CHECK(!configure("look-again-ms", "soon"));
    CHECK(problem.tag == CONVOKE_DISCOVERY_TYPES_PROBLEM_MISCONFIGURED);
    CHECK(configure("look-again-ms", "500"));

    // There is no file: the problem says where to put it.
    CHECK(!discover(found));
    CHECK(problem.tag == CONVOKE_DISCOVERY_TYPES_PROBLEM_TEMPORARY);
    CHECK_TEXT(problem_text,
               "\"addresses\" is not in this mode's folder, which is logged at the start; create a "
               "file of that name there, with one address such as 10.0.0.5:6900 a line");

    // A file is created.
    content = "10.0.0.5\n[fd00::5]:6900\n";
    CHECK(discover(found));
    CHECK_TEXT(found, "10.0.0.5:-1 fd00::5:6900 ");
    CHECK_TEXT(logged, "INFO addresses read file=addresses count=2\n");
    CHECK(snapshot.look_again_ms.is_some && snapshot.look_again_ms.val == 500);
    CHECK(!snapshot.complete);

    // No change: nothing is logged.
    CHECK(discover(found));
    CHECK_TEXT(found, "10.0.0.5:-1 fd00::5:6900 ");
    CHECK_TEXT(logged, "");

    // A change with a malformed line: logged once.
    content = "10.0.0.6\n10.0.0.300\n";
    CHECK(discover(found));
    CHECK_TEXT(found, "10.0.0.6:-1 10.0.0.300:-1 ");
    CHECK_TEXT(logged, "INFO addresses changed file=addresses count=1 before=2\n"
                       "WARN line skipped: \"10.0.0.300\" is not an IPv4 address file=addresses line=2\n");
    CHECK(discover(found));
    CHECK_TEXT(logged, "");

    // A file with only malformed lines is a failure.
    content = "# members\ndb.example\n";
    for (int times = 0; times < 2; times++) {
        CHECK(!discover(found));
        CHECK(problem.tag == CONVOKE_DISCOVERY_TYPES_PROBLEM_FAILED);
        CHECK_TEXT(problem_text,
                   "\"addresses\" has no address: \"db.example\" in line 2 is not an IPv4 address; "
                   "expected lines such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900");
    }

    // An empty file means that no member exists.
    content = "";
    CHECK(discover(found));
    CHECK_TEXT(found, "");
    CHECK_TEXT(logged, "INFO addresses changed file=addresses count=0 before=0\n");

    // Errors of the store are problems that say which grant is needed.
    refused = CONVOKE_HOST_STORE_STORE_ERROR_DENIED;
    CHECK(!discover(found));
    CHECK(problem.tag == CONVOKE_DISCOVERY_TYPES_PROBLEM_DENIED);
    CHECK_TEXT(problem_text,
               "\"addresses\" cannot be read without a store; grant = { store = \"64KiB\" }");
    refused = CONVOKE_HOST_STORE_STORE_ERROR_FULL;
    CHECK(!discover(found));
    CHECK(problem.tag == CONVOKE_DISCOVERY_TYPES_PROBLEM_FAILED);
    CHECK_TEXT(problem_text, "\"addresses\" is larger than the 65536 bytes that are granted; raise "
                             "grant = { store = … }");

    return verdict("strategy_test");
}
