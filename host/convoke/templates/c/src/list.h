// The places that the mode's argument names.

#ifndef LIST_H
#define LIST_H

#include "place.h"

enum { LIST_PROBLEM_SIZE = 160 };

struct list {
    struct place *places;
    size_t count;
};

// Parses places that are separated by commas or white space. True when there is
// at least one and all are well formed; otherwise `problem` says which is not,
// and what would be.
bool list_parse(struct text argument, struct list *list, char problem[LIST_PROBLEM_SIZE]);

void list_free(struct list *list);

#endif
