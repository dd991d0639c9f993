// The functions that the host calls. The callee owns and frees the arguments; the caller owns
// the results, and frees them with free().

#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "mode.h"

// The list is constant. The interval only matters to a host that has lost the previous result.
enum { LOOK_AGAIN_MS = 60000 };

static struct list known;

static void warn_about_setting(mode_tuple2_string_string_t *setting) {
    mode_tuple2_string_string_t field = {.f1 = setting->f0};
    mode_string_set(&field.f0, "setting");
    mode_string_t message;
    mode_string_set(&message, "unknown setting ignored");
    mode_list_tuple2_string_string_t fields = {&field, 1};
    convoke_host_log_log(CONVOKE_HOST_LOG_LEVEL_WARN, &message, &fields);
}

bool exports_convoke_discovery_strategy_configure(
    exports_convoke_discovery_strategy_mode_config_t *config,
    exports_convoke_discovery_strategy_local_member_t *me,
    exports_convoke_discovery_strategy_problem_t *problem) {
    for (size_t at = 0; at < config->settings.len; at++) warn_about_setting(&config->settings.ptr[at]);

    char text[LIST_PROBLEM_SIZE];
    struct text argument = {(const char *)config->argument.ptr, config->argument.len};
    bool well_formed = list_parse(argument, &known, text);
    if (!well_formed) {
        problem->tag = CONVOKE_DISCOVERY_TYPES_PROBLEM_MISCONFIGURED;
        mode_string_dup(&problem->val.misconfigured, text);
    }
    exports_convoke_discovery_strategy_mode_config_free(config);
    exports_convoke_discovery_strategy_local_member_free(me);
    return well_formed;
}

bool exports_convoke_discovery_strategy_discover(
    exports_convoke_discovery_strategy_snapshot_t *snapshot,
    exports_convoke_discovery_strategy_problem_t *problem) {
    (void)problem;
    memset(snapshot, 0, sizeof *snapshot);
    convoke_discovery_types_candidate_t *candidates = calloc(known.count, sizeof *candidates);
    if (!candidates) abort();
    for (size_t at = 0; at < known.count; at++) {
        const struct endpoint *endpoint = &known.endpoints[at];
        mode_string_dup(&candidates[at].address, endpoint->address);
        candidates[at].port.is_some = endpoint->port != 0;
        candidates[at].port.val = endpoint->port;
    }
    snapshot->candidates.ptr = candidates;
    snapshot->candidates.len = known.count;
    snapshot->look_again_ms.is_some = true;
    snapshot->look_again_ms.val = LOOK_AGAIN_MS;
    return true;
}
