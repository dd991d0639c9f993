#include "../src/list.h"

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(what)                                                        \
    do {                                                                   \
        if (!(what)) {                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            failures++;                                                    \
        }                                                                  \
    } while (0)

static struct text text(const char *chars) {
    return (struct text){chars, strlen(chars)};
}

static void every_form_is_taken(void) {
    struct list list;
    char problem[LIST_PROBLEM_SIZE];
    CHECK(list_parse(text("10.0.0.5, 10.0.0.6:6900\tfd00::5 [fd00::6],[fd00::7]:6901"), &list, problem));
    CHECK(list.count == 5);
    CHECK(strcmp(list.places[0].address, "10.0.0.5") == 0 && list.places[0].port == 0);
    CHECK(strcmp(list.places[1].address, "10.0.0.6") == 0 && list.places[1].port == 6900);
    CHECK(strcmp(list.places[2].address, "fd00::5") == 0 && list.places[2].port == 0);
    CHECK(strcmp(list.places[3].address, "fd00::6") == 0 && list.places[3].port == 0);
    CHECK(strcmp(list.places[4].address, "fd00::7") == 0 && list.places[4].port == 6901);
    list_free(&list);
}

static void is_refused(const char *argument, const char *beginning) {
    struct list list;
    char problem[LIST_PROBLEM_SIZE];
    CHECK(!list_parse(text(argument), &list, problem));
    if (strncmp(problem, beginning, strlen(beginning)) != 0) {
        fprintf(stderr, "\"%s\" is refused with: %s\n   expected: %s\n", argument, problem, beginning);
        failures++;
    }
}

static void what_is_malformed_is_named(void) {
    is_refused("", "the argument is empty; expected addresses such as ");
    is_refused(" ,\n", "the argument is empty; ");
    is_refused("10.0.0.5,10.0.0.300", "\"10.0.0.300\" is not an IPv4 address; ");
    is_refused("db.example:6900", "\"db.example:6900\" is not an IPv4 address; ");
    is_refused("10.0.0.5:", "\"10.0.0.5:\" has no port from 1 to 65535 after its address; ");
    is_refused("10.0.0.5:0", "\"10.0.0.5:0\" has no port ");
    is_refused("10.0.0.5:65536", "\"10.0.0.5:65536\" has no port ");
    is_refused("10.0.0.5:+1", "\"10.0.0.5:+1\" has no port ");
    is_refused(":6900", "\":6900\" is not an IPv4 address; ");
    is_refused("[fd00::5", "\"[fd00::5\" lacks its ]; ");
    is_refused("[fd00::5]6900", "\"[fd00::5]6900\" has more than a port after its ]; ");
    is_refused("[10.0.0.5]:6900", "\"[10.0.0.5]:6900\" is not an IPv6 address; ");
    is_refused("fe80::1%eth0", "\"fe80::1%eth0\" is not an IPv6 address; ");
    is_refused("m\xc3\xbcnchen", "\"m??nchen\" is not an IPv4 address; ");
    is_refused("0123456789012345678901234567890123456789012345678901234567890",
               "\"01234567890123456789012345678901234567890123...\" is not an IPv4 address; ");
}

int main(void) {
    every_form_is_taken();
    what_is_malformed_is_named();
    if (failures == 0) puts("list_test: all hold");
    return failures != 0;
}
