#include "../src/settings.h"

#include "check.h"

static struct settings settings;
static char problem[SETTINGS_PROBLEM_SIZE];

static void the_argument_is_a_file_name(void) {
    CHECK(settings_start(&settings, text(""), problem));
    CHECK_TEXT(settings.file, "addresses");
    CHECK(settings.look_again_ms == 1000);
    CHECK(settings_start(&settings, text(" members.txt\n"), problem));
    CHECK_TEXT(settings.file, "members.txt");
    CHECK(settings_start(&settings,
                         text("0123456789012345678901234567890123456789012345678901234567890123"),
                         problem));
}

static void names_that_are_invalid_for_the_store_are_rejected(void) {
    static const char *const names[] = {
        "../addresses", "Members", ".members", "-", "a b", "m\xc3\xbc",
        "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        CHECK(!settings_start(&settings, text(names[at]), problem));
    }
    CHECK(!settings_start(&settings, text("../addresses"), problem));
    CHECK_TEXT(problem,
               "\"../addresses\" is not a file name for the argument; expected up to 64 of a-z, "
               "0-9, '-', '_' and '.', the first a letter or a digit");
}

static void the_interval_is_limited(void) {
    CHECK(settings_start(&settings, text(""), problem));
    CHECK(settings_set(&settings, text("look-again-ms"), text("250"), problem));
    CHECK(settings.look_again_ms == 250);
    static const char *const values[] = {"", "99", "3600001", "-1", "1s", "1e3", "99999999999999"};
    for (size_t at = 0; at < sizeof values / sizeof *values; at++) {
        CHECK(!settings_set(&settings, text("look-again-ms"), text(values[at]), problem));
    }
    CHECK(settings.look_again_ms == 250);
    CHECK(!settings_set(&settings, text("look-again-ms"), text("1s"), problem));
    CHECK_TEXT(problem,
               "look-again-ms = \"1s\" is not a number of milliseconds from 100 to 3600000");
}

static void an_unknown_setting_is_rejected(void) {
    CHECK(!settings_set(&settings, text("interval"), text("5"), problem));
    CHECK_TEXT(problem,
               "\"interval\" is not a setting of this mode; the only setting is look-again-ms");
}

int main(void) {
    the_argument_is_a_file_name();
    names_that_are_invalid_for_the_store_are_rejected();
    the_interval_is_limited();
    an_unknown_setting_is_rejected();
    return verdict("settings_test");
}
