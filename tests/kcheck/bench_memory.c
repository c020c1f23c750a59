/*
 * Products of one row with weights that no cache holds: how near each kernel comes to reading as
 * fast as the machine can. The kernels take turns, so that a slow moment meets them all.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"
#include "op/parallel.h"

/* Rows have the 20b's width. A thread's part of the memory is cut into items of so many rows, as a
 * matrix is when threads share it; they wait for each other behind each. */
enum { N = 2880, ITEM_ROWS = 1024, TURNS = 7, MEMORY = 1 << 30 };

#define ROUNDED ((N + BFLOAT_BLOCK - 1) / BFLOAT_BLOCK * BFLOAT_BLOCK)

typedef struct stream {
    const kernel_table *table;
    const uint8_t
        *weights; /* [MEMORY] of the same byte, a number and a scale of no extreme in any format */
    const dense_group *groups;
    uint8_t *prepared[FIXED_MAX_DIGITS];
    float x[N];
    _Alignas(64) uint16_t words[ROUNDED]; /* x, rounded in these orders */
    _Alignas(64) uint16_t dense[ROUNDED];
    float y[ITEM_ROWS];
    sketch_vector sketched;
    uint32_t ids[ITEM_ROWS + SKETCH_AHEAD];
    int64_t sums[ITEM_ROWS];
} stream;

/* Arithmetic that is worth timing only where the processor has it. */
typedef enum needs { NOTHING, LANES, TILES } needs;

/* Bytes that one item takes, and the kernel at work on the item at `from`. */
typedef struct streamed_kernel {
    const char *name;
    size_t item_bytes;
    void (*run)(stream *s, const uint8_t *from);
    needs needs;
} streamed_kernel;

#define ITEM_NUMBERS ((size_t)ITEM_ROWS * N)

static void run_read(stream *s, const uint8_t *from)
{
    volatile uint64_t sum = s->table->probe.read(from, 2 * ITEM_NUMBERS);
    (void)sum;
}

static void run_read_asking(stream *s, const uint8_t *from)
{
    volatile uint64_t sum = s->table->probe.read_asking(from, 2 * ITEM_NUMBERS);
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

static void run_coded(stream *s, const bfloat_table *table, const uint8_t *from)
{
    table->dot_mxfp4(from, from + ITEM_NUMBERS / 2, ITEM_ROWS, s->words, N, s->y);
}

static void run_lanes(stream *s, const uint8_t *from)
{
    run_coded(s, &s->table->bfloat.lanes, from);
}

static void run_tiles(stream *s, const uint8_t *from)
{
    run_coded(s, &s->table->bfloat.tiles, from);
}

static void run_packed_bfloat(stream *s, const bfloat_table *table, const uint8_t *from)
{
    table->dot_packed(from, s->groups, ITEM_ROWS / DENSE_GROUP_ROWS, s->dense, N, s->y);
}

static void run_packed_lanes(stream *s, const uint8_t *from)
{
    run_packed_bfloat(s, &s->table->bfloat.lanes, from);
}

static void run_packed_tiles(stream *s, const uint8_t *from)
{
    run_packed_bfloat(s, &s->table->bfloat.tiles, from);
}

/* In blocks of rows, as a search takes them. */
static void run_sketch(stream *s, const uint8_t *from, size_t digits)
{
    enum { BLOCK = 64 };
    s->sketched.count = digits;
    for (size_t first = 0; first < ITEM_ROWS; first += BLOCK) {
        sketch_rows rows = {from, from + ITEM_NUMBERS / 2, s->ids + first, BLOCK, SKETCH_AHEAD};
        s->table->sketch.product(&rows, &s->sketched, s->sums);
    }
}

static void run_sketch_1(stream *s, const uint8_t *from)
{
    run_sketch(s, from, 1);
}

static void run_sketch_2(stream *s, const uint8_t *from)
{
    run_sketch(s, from, 2);
}

static void run_q8(stream *s, const uint8_t *from)
{
    s->table->q8.multiply(from, ITEM_ROWS, N, s->prepared[0], 1, s->y, ITEM_ROWS);
}

/* Bytes of a packed group without escapes. */
#define GROUP_BYTES ((size_t)DENSE_LINE + N / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES)

#define PACKED_BYTES (ITEM_ROWS / DENSE_GROUP_ROWS * GROUP_BYTES)
#define CODED_BYTES  (ITEM_NUMBERS * 17 / 32)

static const streamed_kernel kernels[] = {
    {"read", 2 * ITEM_NUMBERS, run_read, NOTHING}, /* these two are what all are shares of */
    {"read asking", 2 * ITEM_NUMBERS, run_read_asking, NOTHING},
    {"dense.bf16", 2 * ITEM_NUMBERS, run_bf16, NOTHING},
    {"dense.packed", PACKED_BYTES, run_packed, NOTHING},
    {"fixed 1 digit", CODED_BYTES, run_fixed_1, NOTHING},
    {"fixed 2 digits", CODED_BYTES, run_fixed_2, NOTHING},
    {"fixed 3 digits", CODED_BYTES, run_fixed_3, NOTHING},
    {"lanes mxfp4", CODED_BYTES, run_lanes, LANES},
    {"lanes packed", PACKED_BYTES, run_packed_lanes, LANES},
    {"tiles mxfp4", CODED_BYTES, run_tiles, TILES},
    {"tiles packed", PACKED_BYTES, run_packed_tiles, TILES},
    {"q8.multiply", ITEM_NUMBERS * 17 / 16, run_q8, NOTHING},
    {"sketch 1 digit", CODED_BYTES, run_sketch_1, NOTHING},
    {"sketch 2 digits", CODED_BYTES, run_sketch_2, NOTHING},
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

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return difference < 0.0 ? -1 : difference > 0.0 ? 1 : 0;
}

static bool worth_timing(const kernel_table *table, const streamed_kernel *kernel)
{
    return kernel->needs == NOTHING || (kernel->needs == LANES && table->bfloat.lanes.pays) ||
           (kernel->needs == TILES && table->bfloat.tiles.pays);
}

/* Every kernel on a team: GB/s, and shares of what reading gave in the same turn, the faster way.
 */
static void take_turns(stream *streams, uint32_t threads, const char *pages)
{
    double speed[KERNELS][TURNS] = {0};
    double share[KERNELS][TURNS] = {0};
    for (size_t turn = 0; turn < TURNS; turn++) {
        for (size_t k = 0; k < KERNELS; k++) {
            walk w = {&kernels[k], streams, 0.0};
            if (!worth_timing(streams->table, &kernels[k]))
                continue;
            parallel_run(threads, walk_memory, &w);
            speed[k][turn] = 1.0 / w.seconds;
        }
        double reading = fmax(speed[0][turn], speed[1][turn]);
        for (size_t k = 0; k < KERNELS; k++)
            share[k][turn] = speed[k][turn] / reading;
    }
    printf("  from memory, %s pages, %u threads: median and best, median share\n", pages, threads);
    for (size_t k = 0; k < KERNELS; k++) {
        if (!worth_timing(streams->table, &kernels[k]))
            continue;
        qsort(speed[k], TURNS, sizeof *speed[k], compare);
        qsort(share[k], TURNS, sizeof *share[k], compare);
        printf("  %-15s %8.2f %8.2f GB/s %4.0f %% of read\n", kernels[k].name, speed[k][TURNS / 2],
               speed[k][TURNS - 1], 100.0 * share[k][TURNS / 2]);
    }
}

/* What the kernels read besides weights. */
static void prepare(stream *s)
{
    static int8_t digits[2 * N];
    static int16_t centre[2 * N / SKETCH_GROUP * 8];
    const float *x = s->x;
    fill_normal(s->x, N);
    s->table->bfloat.lanes.round(&x, 1, N, BFLOAT_WORDS, s->words);
    s->table->bfloat.lanes.round(&x, 1, N, BFLOAT_DENSE, s->dense);
    for (unsigned count = 1; count <= FIXED_MAX_DIGITS; count++) {
        free(s->prepared[count - 1]);
        s->prepared[count - 1] = aligned_alloc(64, fixed_row_bytes(N, count));
        s->table->fixed.quantise(s->x, N, count, s->prepared[count - 1]);
    }
    s->sketched = (sketch_vector){digits, centre, N / SKETCH_GROUP, 2};
    for (uint32_t i = 0; i < ITEM_ROWS + SKETCH_AHEAD; i++)
        s->ids[i] = i;
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
            prepare(s);
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
