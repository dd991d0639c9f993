#include "../src/file.h"

#include <stdlib.h>

#include "check.h"

enum { RANDOM_FILES = 20000, RANDOM_LENGTH_MAX = 96 };

static struct file file;

static void every_form_of_a_line_is_parsed(void) {
    file_parse(text("\xef\xbb\xbf# the shop's members\n"
                    "10.0.0.5\r\n"
                    "\n"
                    "  10.0.0.6:6900   # the second\n"
                    "\tfd00::5\n"
                    "[fd00::6]\n"
                    "[fd00::7]:6901"),
               &file);
    CHECK(file.count == 5 && file.malformed == 0 && !file.overlong);
    CHECK_TEXT(file.endpoints[0].address, "10.0.0.5");
    CHECK(file.endpoints[0].port == 0);
    CHECK_TEXT(file.endpoints[1].address, "10.0.0.6");
    CHECK(file.endpoints[1].port == 6900);
    CHECK_TEXT(file.endpoints[2].address, "fd00::5");
    CHECK_TEXT(file.endpoints[3].address, "fd00::6");
    CHECK(file.endpoints[3].port == 0);
    CHECK_TEXT(file.endpoints[4].address, "fd00::7");
    CHECK(file.endpoints[4].port == 6901);
    file_free(&file);
}

static void an_empty_file_has_no_addresses_and_no_faults(void) {
    static const char *const contents[] = {"", "\n", "# none yet", " \r\n\t\n"};
    for (size_t at = 0; at < sizeof contents / sizeof *contents; at++) {
        file_parse(text(contents[at]), &file);
        CHECK(file.count == 0 && file.malformed == 0);
        file_free(&file);
    }
}

static void a_malformed_line_is_skipped_and_reported(void) {
    file_parse(text("10.0.0.5\n10.0.0.300 # far\n\ndb.example:6900\n10.0.0.6,10.0.0.7\n::1\n"), &file);
    CHECK(file.count == 2 && file.malformed == 3);
    CHECK(file.faults[0].line == 2 && file.faults[1].line == 4 && file.faults[2].line == 5);
    CHECK_TEXT(file.faults[0].lacks, "is not an IPv4 address");
    char shown[TEXT_SHOWN_SIZE];
    text_show(file.faults[0].text, shown);
    CHECK_TEXT(shown, "10.0.0.300");
    file_free(&file);
}

static void many_faults_are_counted(void) {
    file_parse(text("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n10.0.0.5"), &file);
    CHECK(file.count == 1 && file.malformed == 10);
    CHECK(file.faults[FILE_FAULTS_MAX - 1].line == FILE_FAULTS_MAX);
    file_free(&file);
}

static void the_number_of_addresses_is_limited(void) {
    static const char line[] = "10.0.0.5\n";
    size_t length = (FILE_ADDRESSES_MAX + 1) * (sizeof line - 1);
    char *content = malloc(length);
    for (size_t at = 0; at < length; at += sizeof line - 1) memcpy(content + at, line, sizeof line - 1);
    file_parse((struct text){content, length - (sizeof line - 1)}, &file);
    CHECK(file.count == FILE_ADDRESSES_MAX && !file.overlong);
    file_free(&file);
    file_parse((struct text){content, length}, &file);
    CHECK(file.count == FILE_ADDRESSES_MAX && file.overlong);
    file_free(&file);
    free(content);
}

// Random bytes that often occur in lines; sanitizers check all memory accesses, and each buffer
// is exactly as long as its text.
static void arbitrary_bytes_are_parsed(void) {
    static const char bytes[] = "0123456789abf:.[]#\n\r \t%\0\xff\xef\xbb\xbf";
    uint32_t state = 2904;
    for (int round = 0; round < RANDOM_FILES; round++) {
        state = state * 1664525 + 1013904223;
        size_t length = (state >> 16) % RANDOM_LENGTH_MAX;
        char *content = malloc(length + 1);
        for (size_t at = 0; at < length; at++) {
            state = state * 1664525 + 1013904223;
            content[at] = bytes[(state >> 16) % (sizeof bytes - 1)];
        }
        content = realloc(content, length ? length : 1);
        file_parse((struct text){content, length}, &file);
        CHECK(file.count <= length);
        for (size_t at = 0; at < file.count; at++) CHECK(file.endpoints[at].address[0] != '\0');
        file_free(&file);
        free(content);
    }
}

int main(void) {
    every_form_of_a_line_is_parsed();
    an_empty_file_has_no_addresses_and_no_faults();
    a_malformed_line_is_skipped_and_reported();
    many_faults_are_counted();
    the_number_of_addresses_is_limited();
    arbitrary_bytes_are_parsed();
    return verdict("file_test");
}
