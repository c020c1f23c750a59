/* The probes: sums against integers, multiply-adds against double precision. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static uint64_t sum_of(const uint8_t *data, size_t bytes)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, sizeof word);
        sum += word;
    }
    return sum;
}

static void check_read(const subject *s)
{
    const kernel_table *table = s->other != NULL ? s->other : s->plain;
    for (size_t units = 0; units <= 5; units++) {
        size_t bytes = units * PROBE_BYTES;
        guarded g = guard(bytes + 8);
        uint8_t *data = g.end_aligned;
        fill_bytes(data, bytes + 8);
        for (size_t offset = 0; offset <= 8; offset++) {
            uint64_t expected = sum_of(data + offset, bytes);
            check(table->probe.read(data + offset, bytes) == expected &&
                      table->probe.read_asking(data + offset, bytes) == expected,
                  "probe.read", s->level, "equal to the sum of words", bytes);
        }
        unguard(&g);
    }
}

static void check_multiply_add(const subject *s)
{
    const kernel_table *table = s->other != NULL ? s->other : s->plain;
    for (size_t rounds = 0; rounds <= 20; rounds++) {
        guarded g = guard(PROBE_FLOATS * sizeof(float));
        float *x = g.end_aligned;
        float expected[PROBE_FLOATS];
        for (size_t i = 0; i < PROBE_FLOATS; i++) {
            double value = expected[i] = x[i] = 16.0F * normal();
            for (size_t round = 0; round < rounds; round++)
                value = (float)(0.5 * value + 1.0);
            expected[i] = (float)value;
        }
        table->probe.multiply_add(rounds, x);
        check(same_bits(x, expected, PROBE_FLOATS), "probe.multiply_add", s->level,
              "equal to double precision", rounds);
        unguard(&g);
    }
}

void check_probe(const subject *s)
{
    check_read(s);
    check_multiply_add(s);
}

void bench_probe(const kernel_table *table)
{
    size_t bytes = (size_t)256 << 20;
    uint8_t *data = malloc(bytes);
    float x[PROBE_FLOATS] = {0.0F};
    if (data == NULL)
        return;
    memset(data, 1, bytes);
    volatile uint64_t sum = 0;
    BENCH("probe.read", bytes, "GB/s", sum += table->probe.read(data, bytes));
    BENCH("probe.read asking", bytes, "GB/s", sum += table->probe.read_asking(data, bytes));
    BENCH("probe.fma", 2.0 * PROBE_FLOATS * 100000, "GFLOP/s",
          table->probe.multiply_add(100000, x));
    free(data);
}
