// What the generated bindings use of the C library. There is none for a core
// module without WASI; heap.c has these.
#ifndef STDLIB_H
#define STDLIB_H

#include <stddef.h>

void *malloc(size_t bytes);
void *realloc(void *start, size_t bytes);
void free(void *start);
_Noreturn void abort(void);

#endif
