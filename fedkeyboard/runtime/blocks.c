/* Preloaded into TFF's worker: large blocks come from stacks of free ones, one a power of two.
 *
 * A batch's arrays have sizes of their own, from 256 KB to tens of MB, and several batches run at
 * once. Neither TensorFlow's allocator nor malloc finds such blocks a place that the last ones left
 * exactly, so both grow by steps, even hundreds of rounds after the start. Here a block fits each
 * place of its class, and memory is the sum of the classes' peaks, which some rounds reach. Only
 * touched pages count: to round up costs addresses, no memory.
 *
 * TensorFlow asks by posix_memalign (with TF_ONEDNN_USE_SYSTEM_ALLOCATOR=1; else it takes regions
 * of its own). Whatever does not fit here goes to libc, whose own names are called directly.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

extern void __libc_free(void *);
extern void *__libc_memalign(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
void *malloc(size_t);

enum {
  SMALLEST = 18, /* Blocks of 2 to the power of 18 bytes (256 KB), */
  CLASSES = 10,  /* 19 and so on up to 27 (128 MB). */
  SPAN = 33,     /* Each class has 2 to the power of 33 addresses (8 GB). */
  HUGE = 21,     /* A huge page. */
};

struct class {
  int made; /* Blocks that were ever given out. */
  int free; /* Those of them that came back, the last one last. */
  void *freed[1 << (SPAN - SMALLEST)];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct class classes[CLASSES];
static char *begin, *end; /* The addresses of all classes; none if they cannot be reserved. */

static size_t size_of(int class) { return (size_t)1 << (SMALLEST + class); }

static char *begin_of(int class) { return begin + ((size_t)class << SPAN); }

__attribute__((constructor)) static void reserve(void) {
  const size_t all = (size_t)CLASSES << SPAN, huge = (size_t)1 << HUGE;
  char *addresses = mmap(NULL, all + huge, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (addresses == MAP_FAILED) return;
  begin = addresses + -(uintptr_t)addresses % huge;
  end = begin + all;
  madvise(begin_of(HUGE - SMALLEST), end - begin_of(HUGE - SMALLEST), MADV_HUGEPAGE);
}

static int is_block(const void *pointer) {
  return (const char *)pointer >= begin && (const char *)pointer < end;
}

static int class_of(const void *block) { return ((const char *)block - begin) >> SPAN; }

/* Returns a block of a class, or NULL. */
static void *take(int class) {
  struct class *of = &classes[class];
  void *block = NULL;
  pthread_mutex_lock(&lock);
  if (of->free)
    block = of->freed[--of->free];
  else if (begin && of->made < 1 << (SPAN - SMALLEST - class))
    block = begin_of(class) + of->made++ * size_of(class);
  pthread_mutex_unlock(&lock);
  return block;
}

static void give(void *block) {
  struct class *of = &classes[class_of(block)];
  pthread_mutex_lock(&lock);
  of->freed[of->free++] = block;
  pthread_mutex_unlock(&lock);
}

int posix_memalign(void **pointer, size_t alignment, size_t bytes) {
  void *block = NULL;
  if (bytes >= size_of(0) && bytes <= size_of(CLASSES - 1) && alignment <= size_of(0)) {
    int class = 0;
    while (size_of(class) < bytes) class++;
    block = take(class);
  }
  if (!block) block = __libc_memalign(alignment, bytes);
  if (!block) return ENOMEM;
  *pointer = block;
  return 0;
}

void free(void *pointer) {
  if (is_block(pointer))
    give(pointer);
  else
    __libc_free(pointer);
}

void *realloc(void *pointer, size_t bytes) {
  if (!is_block(pointer)) return __libc_realloc(pointer, bytes);
  const size_t has = size_of(class_of(pointer));
  if (bytes <= has) return pointer;
  void *moved = malloc(bytes);
  if (!moved) return NULL;
  memcpy(moved, pointer, has);
  free(pointer);
  return moved;
}
