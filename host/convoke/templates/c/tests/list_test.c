#include "../src/list.h"

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(what)                                                        \
    do {                                                                   \
        if (!(what)) {                                                     \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #what); \
            failures++;                                                    \
        }                                                                  \
    } while (0)

static struct text text(const char *chars) {
    return (struct text){chars, strlen(chars)};
}

static void all_forms_are_parsed(void) {
    struct list list;
    char problem[LIST_PROBLEM_SIZE];
    CHECK(list_parse(text("10.0.0.5, 10.0.0.6:6900\tfd00::5 [fd00::6],[fd00::7]:6901"), &list, problem));
    CHECK(list.count == 5);
    CHECK(strcmp(list.endpoints[0].address, "10.0.0.5") == 0 && list.endpoints[0].port == 0);
    CHECK(strcmp(list.endpoints[1].address, "10.0.0.6") == 0 && list.endpoints[1].port == 6900);
    CHECK(strcmp(list.endpoints[2].address, "fd00::5") == 0 && list.endpoints[2].port == 0);
    CHECK(strcmp(list.endpoints[3].address, "fd00::6") == 0 && list.endpoints[3].port == 0);
    CHECK(strcmp(list.endpoints[4].address, "fd00::7") == 0 && list.endpoints[4].port == 6901);
    list_free(&list);
}

static void check_rejected(const char *argument, const char *prefix) {
    struct list list;
    char problem[LIST_PROBLEM_SIZE];
    CHECK(!list_parse(text(argument), &list, problem));
    if (strncmp(problem, prefix, strlen(prefix)) != 0) {
        fprintf(stderr, "\"%s\" is rejected with: %s\n   expected: %s\n", argument, problem, prefix);
        failures++;
    }
}

static void errors_quote_the_malformed_endpoint(void) {
    check_rejected("", "the argument is empty; expected addresses such as ");
    check_rejected(" ,\n", "the argument is empty; ");
    check_rejected("10.0.0.5,10.0.0.300", "\"10.0.0.300\" is not an IPv4 address; ");
    check_rejected("db.example:6900", "\"db.example:6900\" is not an IPv4 address; ");
    check_rejected("10.0.0.5:", "\"10.0.0.5:\" has no port from 1 to 65535 after its address; ");
    check_rejected("10.0.0.5:0", "\"10.0.0.5:0\" has no port ");
    check_rejected("10.0.0.5:65536", "\"10.0.0.5:65536\" has no port ");
    check_rejected("10.0.0.5:+1", "\"10.0.0.5:+1\" has no port ");
    check_rejected(":6900", "\":6900\" is not an IPv4 address; ");
    check_rejected("[fd00::5", "\"[fd00::5\" lacks its ]; ");
    check_rejected("[fd00::5]6900", "\"[fd00::5]6900\" has more than a port after its ]; ");
    check_rejected("[10.0.0.5]:6900", "\"[10.0.0.5]:6900\" is not an IPv6 address; ");
    check_rejected("fe80::1%eth0", "\"fe80::1%eth0\" is not an IPv6 address; ");
    check_rejected("m\xc3\xbcnchen", "\"m??nchen\" is not an IPv4 address; ");
    check_rejected("0123456789012345678901234567890123456789012345678901234567890",
               "\"01234567890123456789012345678901234567890123...\" is not an IPv4 address; ");
}

int main(void) {
    all_forms_are_parsed();
    errors_quote_the_malformed_endpoint();
    if (failures == 0) puts("list_test: passed");
    return failures != 0;
}
