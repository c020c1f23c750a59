/*
 * Products of one row with weights that no cache holds: how near each kernel comes to reading as
 * fast as the machine can. The kernels take turns, so that a slow moment meets them all.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"
#include "op/parallel.h"

/* Rows have the 20b's width. A thread's part of the memory is cut into items of so many rows, as a
 * matrix is when threads share it; they wait for each other behind each. */
enum { N = 2880, ITEM_ROWS = 1024, TURNS = 7, MEMORY = 1 << 30 };

typedef struct stream {
    const kernel_table *table;
    const uint8_t
        *weights; /* [MEMORY] of the same byte, a number and a scale of no extreme in any format */
    const dense_group *groups;
    uint8_t *prepared[FIXED_MAX_DIGITS];
    float x[N];
    _Alignas(64) uint16_t rounded[(N + BFLOAT_BLOCK - 1) / BFLOAT_BLOCK * BFLOAT_BLOCK];
    float y[ITEM_ROWS];
} stream;

/* Bytes that one item takes, and the kernel at work on the item at `from`. */
typedef struct streamed_kernel {
    const char *name;
    size_t item_bytes;
    void (*run)(stream *s, const uint8_t *from);
} streamed_kernel;

#define ITEM_NUMBERS ((size_t)ITEM_ROWS * N)

static void run_read(stream *s, const uint8_t *from)
{
    volatile uint64_t sum = s->table->probe.read(from, 2 * ITEM_NUMBERS);
    (void)sum;
}

static void run_bf16(stream *s, const uint8_t *from)
{
    s->table->dense.bf16(from, ITEM_ROWS, s->x, N, s->y);
}

static void run_packed(stream *s, const uint8_t *from)
{
    s->table->dense.packed(from, s->groups, ITEM_ROWS / DENSE_GROUP_ROWS, s->x, N, s->y);
}

static void run_fixed(stream *s, const uint8_t *from, unsigned digits)
{
    s->table->fixed.dot_rows(from, from + ITEM_NUMBERS / 2, ITEM_ROWS, s->prepared[digits - 1], N,
                             digits, s->y);
}

static void run_fixed_1(stream *s, const uint8_t *from)
{
    run_fixed(s, from, 1);
}

static void run_fixed_2(stream *s, const uint8_t *from)
{
    run_fixed(s, from, 2);
}

static void run_fixed_3(stream *s, const uint8_t *from)
{
    run_fixed(s, from, 3);
}

static void run_lanes(stream *s, const uint8_t *from)
{
    s->table->bfloat.lanes.dot_mxfp4(from, from + ITEM_NUMBERS / 2, ITEM_ROWS, s->rounded, N, s->y);
}

static void run_tiles(stream *s, const uint8_t *from)
{
    s->table->bfloat.tiles.dot_mxfp4(from, from + ITEM_NUMBERS / 2, ITEM_ROWS, s->rounded, N, s->y);
}

static void run_packed_tiles(stream *s, const uint8_t *from)
{
    s->table->bfloat.tiles.dot_packed(from, s->groups, ITEM_ROWS / DENSE_GROUP_ROWS, s->rounded, N,
                                      s->y);
}

static void run_q8(stream *s, const uint8_t *from)
{
    s->table->q8.multiply(from, ITEM_ROWS, N, s->prepared[0], 1, s->y, ITEM_ROWS);
}

/* Bytes of a packed group without escapes. */
#define GROUP_BYTES ((size_t)DENSE_LINE + N / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES)

static const streamed_kernel kernels[] = {
    {"read", 2 * ITEM_NUMBERS, run_read},
    {"dense.bf16", 2 * ITEM_NUMBERS, run_bf16},
    {"dense.packed", ITEM_ROWS / DENSE_GROUP_ROWS *GROUP_BYTES, run_packed},
    {"fixed 1 digit", ITEM_NUMBERS * 17 / 32, run_fixed_1},
    {"fixed 2 digits", ITEM_NUMBERS * 17 / 32, run_fixed_2},
    {"fixed 3 digits", ITEM_NUMBERS * 17 / 32, run_fixed_3},
    {"lanes mxfp4", ITEM_NUMBERS * 17 / 32, run_lanes},
    {"tiles mxfp4", ITEM_NUMBERS * 17 / 32, run_tiles},
    {"tiles packed", ITEM_ROWS / DENSE_GROUP_ROWS *GROUP_BYTES, run_packed_tiles},
    {"q8.multiply", ITEM_NUMBERS * 17 / 16, run_q8},
};

enum { KERNELS = sizeof kernels / sizeof *kernels };

/* One kernel over all of the memory by a team. */
typedef struct walk {
    const streamed_kernel *kernel;
    stream *streams; /* of each thread */
    double seconds;
} walk;

static void walk_memory(const team *self, void *user)
{
    walk *w = user;
    stream *own = &w->streams[self->rank];
    size_t items = MEMORY / w->kernel->item_bytes / self->size;
    const uint8_t *from = own->weights + self->rank * items * w->kernel->item_bytes;
    team_wait(self);
    double start = now();
    for (size_t i = 0; i < items; i++) {
        w->kernel->run(own, from + i * w->kernel->item_bytes);
        team_wait(self);
    }
    if (self->rank == 0)
        w->seconds = (now() - start) / (double)(items * self->size * w->kernel->item_bytes) * 1e9;
}

/* Median nanoseconds a byte of every kernel on a team, as GB/s and in shares of reading. */
static void take_turns(stream *streams, uint32_t threads, const char *pages)
{
    double taken[KERNELS][TURNS];
    double read = 0.0;
    for (size_t turn = 0; turn < TURNS; turn++) {
        for (size_t k = 0; k < KERNELS; k++) {
            walk w = {&kernels[k], streams, 0.0};
            parallel_run(threads, walk_memory, &w);
            size_t place = turn; /* ascending */
            for (; place > 0 && taken[k][place - 1] > w.seconds; place--)
                taken[k][place] = taken[k][place - 1];
            taken[k][place] = w.seconds;
        }
    }
    printf("  from memory, %s pages, %u threads: median and best\n", pages, threads);
    for (size_t k = 0; k < KERNELS; k++) {
        double median = taken[k][TURNS / 2];
        read = k == 0 ? median : read;
        printf("  %-14s %8.2f %8.2f GB/s %4.0f %% of read\n", kernels[k].name, 1.0 / median,
               1.0 / taken[k][0], 100.0 * read / median);
    }
}

void bench_memory(const kernel_table *table)
{
    static dense_group groups[ITEM_ROWS / DENSE_GROUP_ROWS];
    enum { THREADS = 2 };
    stream *streams = aligned_alloc(64, THREADS * sizeof *streams);
    memset(streams, 0, THREADS * sizeof *streams);
    for (uint32_t g = 0; g < ITEM_ROWS / DENSE_GROUP_ROWS; g++)
        groups[g].line = g * (uint32_t)(GROUP_BYTES / DENSE_LINE);
    for (int huge = 0; huge < 2; huge++) {
        uint8_t *memory =
            mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            break;
        madvise(memory, MEMORY, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        memset(memory, 0x74, MEMORY);
        for (uint32_t t = 0; t < THREADS; t++) {
            stream *s = &streams[t];
            s->table = table;
            s->weights = memory;
            s->groups = groups;
            fill_normal(s->x, N);
            table->bfloat.lanes.round(&(const float *){s->x}, 1, N, BFLOAT_WORDS, s->rounded);
            for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
                free(s->prepared[digits - 1]);
                s->prepared[digits - 1] = aligned_alloc(64, fixed_row_bytes(N, digits));
                table->fixed.quantise(s->x, N, digits, s->prepared[digits - 1]);
            }
        }
        for (uint32_t threads = 1; threads <= THREADS; threads++)
            take_turns(streams, threads, huge ? "huge" : "small");
        munmap(memory, MEMORY);
    }
    for (uint32_t t = 0; t < THREADS; t++)
        for (unsigned digits = 0; digits < FIXED_MAX_DIGITS; digits++)
            free(streams[t].prepared[digits]);
    free(streams);
}
