// The addresses in the argument of the mode.

#ifndef LIST_H
#define LIST_H

#include "endpoint.h"

enum { LIST_PROBLEM_SIZE = 160 };

struct list {
    struct endpoint *endpoints;
    size_t count;
};

// Parses endpoints separated by commas or white space. Returns false if the list is empty or one
// is malformed; `problem` then quotes it and says what is expected.
bool list_parse(struct text argument, struct list *list, char problem[LIST_PROBLEM_SIZE]);

void list_free(struct list *list);

#endif
