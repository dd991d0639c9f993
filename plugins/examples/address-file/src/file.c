#include "file.h"

#include <stdlib.h>
#include <string.h>

// Removes the first line from the content and returns it.
static struct text next_line(struct text *content) {
    struct text line = *content;
    const char *end = memchr(content->start, '\n', content->length);
    if (end) line.length = (size_t)(end - content->start);
    size_t taken = line.length + (end != NULL);
    content->start += taken;
    content->length -= taken;
    return line;
}

// The line without its comment and surrounding white space.
static struct text stripped(struct text line) {
    const char *comment = memchr(line.start, '#', line.length);
    if (comment) line.length = (size_t)(comment - line.start);
    return text_trim(line);
}

static void skip_byte_order_mark(struct text *content) {
    static const char mark[] = "\xef\xbb\xbf";
    if (content->length >= sizeof mark - 1 && memcmp(content->start, mark, sizeof mark - 1) == 0) {
        content->start += sizeof mark - 1;
        content->length -= sizeof mark - 1;
    }
}

static size_t count_addresses(struct text content) {
    size_t count = 0;
    while (content.length > 0) count += stripped(next_line(&content)).length > 0;
    return count < FILE_ADDRESSES_MAX ? count : FILE_ADDRESSES_MAX;
}

void file_parse(struct text content, struct file *file) {
    memset(file, 0, sizeof *file);
    skip_byte_order_mark(&content);
    size_t room = count_addresses(content);
    if (room == 0) return;
    file->endpoints = calloc(room, sizeof *file->endpoints);
    if (!file->endpoints) abort();
    for (size_t number = 1; content.length > 0; number++) {
        struct text line = stripped(next_line(&content));
        if (line.length == 0) continue;
        struct endpoint endpoint;
        const char *lacks = endpoint_parse(line, &endpoint);
        if (lacks) {
            if (file->malformed < FILE_FAULTS_MAX) {
                file->faults[file->malformed] = (struct fault){number, line, lacks};
            }
            file->malformed++;
        } else if (file->count < FILE_ADDRESSES_MAX) {
            file->endpoints[file->count++] = endpoint;
        } else {
            file->overlong = true;
            return;
        }
    }
}

void file_free(struct file *file) {
    free(file->endpoints);
    file->endpoints = NULL;
    file->count = 0;
}
