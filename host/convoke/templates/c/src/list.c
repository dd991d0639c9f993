#include "list.h"

#include <stdio.h>
#include <stdlib.h>

#define EXPECTED "expected addresses such as 10.0.0.5,10.0.0.6:6900,[fd00::5]:6900"

static bool is_separator(char c) {
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

// Removes the first word from the text. Returns false if there is none.
static bool next_word(struct text *text, struct text *word) {
    while (text->length > 0 && is_separator(text->start[0])) {
        text->start++;
        text->length--;
    }
    *word = (struct text){text->start, 0};
    while (word->length < text->length && !is_separator(word->start[word->length])) word->length++;
    text->start += word->length;
    text->length -= word->length;
    return word->length > 0;
}

static size_t count_words(struct text text) {
    struct text word;
    size_t count = 0;
    while (next_word(&text, &word)) count++;
    return count;
}

bool list_parse(struct text argument, struct list *list, char problem[LIST_PROBLEM_SIZE]) {
    *list = (struct list){NULL, 0};
    size_t count = count_words(argument);
    if (count == 0) {
        snprintf(problem, LIST_PROBLEM_SIZE, "the argument is empty; " EXPECTED);
        return false;
    }
    list->endpoints = calloc(count, sizeof *list->endpoints);
    if (!list->endpoints) abort();
    struct text word;
    while (next_word(&argument, &word)) {
        const char *fault = endpoint_parse(word, &list->endpoints[list->count]);
        if (fault) {
            char shown[TEXT_SHOWN_SIZE];
            text_show(word, shown);
            snprintf(problem, LIST_PROBLEM_SIZE, "\"%s\" %s; " EXPECTED, shown, fault);
            list_free(list);
            return false;
        }
        list->count++;
    }
    return true;
}

void list_free(struct list *list) {
    free(list->endpoints);
    *list = (struct list){NULL, 0};
}
