/* Kernels that find out what the machine can do: how fast it reads and how fast it multiplies. */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that `read` takes at a time, and floats that `multiply_add` works on: enough independent
 * chains to hide an instruction's latency, few enough to stay in registers. */
#define PROBE_BYTES  512
#define PROBE_FLOATS 192

/* How far ahead reading asks for memory where it asks. */
#define PROBE_AHEAD 12288

/* The sum modulo 2^64 of `bytes` / 8 words of the machine's byte order; `bytes` is a multiple of
 * PROBE_BYTES. `data` needs no alignment. EXACT. */
typedef uint64_t (*probe_read_fn)(const uint8_t *data, size_t bytes);

/* x_i = x_i * 0.5 + 1, `rounds` times, over x [PROBE_FLOATS]: 2 * PROBE_FLOATS
 * floating-point operations a round. Fused or not, the product is exact. EXACT. */
typedef void (*probe_multiply_add_fn)(size_t rounds, float *x);

/* Zen 5 reads a tenth faster when it is asked ahead of time, Zen 3 as much slower. */
typedef struct probe_table {
    probe_read_fn read;
    probe_read_fn read_asking;
    probe_multiply_add_fn multiply_add;
} probe_table;

/* The overlays, lowest level first. */
void probe_overlay_plain(probe_table *table);
void probe_overlay_avx2(probe_table *table);
void probe_overlay_avx512(probe_table *table);

#endif
