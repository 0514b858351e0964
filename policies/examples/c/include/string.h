// What the generated bindings use of the C library; heap.c has these.
#ifndef STRING_H
#define STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
size_t strlen(const char *text);

#endif
