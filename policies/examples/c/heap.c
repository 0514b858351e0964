// A small heap, and the few functions of the C library that bindings use.
//
// Memory is cut off one after the other. When nothing is in use any more, which
// is so between the calls of a policy that has no session open, it begins anew;
// the block that was cut last can be given back at once. So what a call takes and
// gives back in turn costs nothing for good.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 65536
#define ALIGN_BYTES 16

// Placed by the linker where static data and the stack end.
extern unsigned char __heap_base;

// Before each block: its size, and whether it is in use.
typedef struct block {
  size_t bytes;
  struct block *before;
  _Bool in_use;
} block;

#define HEAD_BYTES ((sizeof(block) + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1))

static block *last;

static uintptr_t fresh(void) {
  if (last == NULL) {
    return ((uintptr_t)&__heap_base + ALIGN_BYTES - 1) & ~(uintptr_t)(ALIGN_BYTES - 1);
  }
  return (uintptr_t)last + HEAD_BYTES + last->bytes;
}

void *malloc(size_t bytes) {
  size_t whole = (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
  uintptr_t start = fresh();
  uintptr_t end = start + HEAD_BYTES + whole;
  uintptr_t limit = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE_BYTES;
  if (whole < bytes || end < start) abort();
  if (end > limit) {
    size_t pages = (end - limit + PAGE_BYTES - 1) / PAGE_BYTES;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) abort();
  }
  block *made = (block *)start;
  *made = (block){.bytes = whole, .before = last, .in_use = 1};
  last = made;
  return (unsigned char *)made + HEAD_BYTES;
}

void free(void *start) {
  if (start == NULL) return;
  ((block *)((unsigned char *)start - HEAD_BYTES))->in_use = 0;
  while (last != NULL && !last->in_use) last = last->before;
}

void *realloc(void *start, size_t bytes) {
  void *moved = malloc(bytes);
  if (start != NULL) {
    size_t held = ((block *)((unsigned char *)start - HEAD_BYTES))->bytes;
    memcpy(moved, start, held < bytes ? held : bytes);
    free(start);
  }
  return moved;
}

// The host counts the trap as a failure of the policy: BUSY, never a death.
_Noreturn void abort(void) { __builtin_trap(); }

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  unsigned char *t = to;
  const unsigned char *f = from;
  while (bytes-- > 0) *t++ = *f++;
  return to;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') length++;
  return length;
}
