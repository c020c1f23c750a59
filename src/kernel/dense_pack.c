/* Packing BF16 rows to 12 bits; the layout is drawn in dense.h. */
#include <string.h>

#include "kernel/dense.h"

#define PLACES 15 /* the sixteenth marks escapes */

/* How the high bytes of one row are coded. */
typedef struct row_code {
    uint8_t place[256]; /* PLACES for those not among the commonest */
    uint8_t table[16];
    uint32_t escapes;
} row_code;

static size_t whole_lines(size_t bytes)
{
    return (bytes + DENSE_LINE - 1) / DENSE_LINE * DENSE_LINE;
}

static size_t block_count(size_t n)
{
    return (n + DENSE_BLOCK_COLUMNS - 1) / DENSE_BLOCK_COLUMNS;
}

/* More escapes than this, and patching them takes longer than reading the numbers as they are. */
static size_t escape_limit(size_t n)
{
    return n / 128 + 1;
}

static size_t packed_bytes(size_t n, size_t escapes)
{
    return DENSE_LINE + whole_lines(escapes * sizeof(uint32_t)) +
           block_count(n) * DENSE_BLOCK_BYTES;
}

static size_t raw_bytes(size_t n)
{
    return whole_lines(DENSE_GROUP_ROWS * 2 * n);
}

size_t dense_group_room(size_t n)
{
    size_t packed = packed_bytes(n, escape_limit(n));
    return packed > raw_bytes(n) ? packed : raw_bytes(n);
}

static void count_high_bytes(const uint8_t *row, size_t n, uint32_t *counts)
{
    uint32_t even[256] = {0}; /* two sets of counters: equal neighbours need not wait */
    uint32_t odd[256] = {0};
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even[row[2 * i + 1]]++;
        odd[row[2 * i + 3]]++;
    }
    if (i < n)
        even[row[2 * i + 1]]++;
    for (size_t byte = 0; byte < 256; byte++)
        counts[byte] = even[byte] + odd[byte];
}

static void choose_code(const uint8_t *row, size_t n, row_code *code)
{
    uint32_t counts[256];
    uint8_t seen[256];
    size_t kinds = 0;
    count_high_bytes(row, n, counts);
    for (size_t byte = 0; byte < 256; byte++)
        if (counts[byte] > 0)
            seen[kinds++] = (uint8_t)byte;
    memset(code->place, PLACES, sizeof code->place);
    memset(code->table, 0, sizeof code->table);
    code->escapes = (uint32_t)n;
    for (size_t place = 0; place < PLACES && place < kinds; place++) {
        size_t best = place;
        for (size_t i = place + 1; i < kinds; i++)
            best = counts[seen[i]] > counts[seen[best]] ? i : best;
        uint8_t byte = seen[best];
        seen[best] = seen[place];
        seen[place] = byte;
        code->place[byte] = (uint8_t)place;
        code->table[place] = byte;
        code->escapes -= counts[byte];
    }
}

/* The column that lies at a byte of a block. */
static size_t column_of(size_t byte)
{
    return 16 * (byte / 8 % 2 * 2 + byte % 2) + 4 * (byte / 16) + byte % 8 / 2;
}

int dense_pack_plain(const uint8_t *numbers, const uint8_t *place, const uint8_t *table,
                     uint8_t *low, uint8_t *pairs)
{
    unsigned highest = 0;
    (void)table;
    for (size_t byte = 0; byte < 32; byte++) {
        const uint8_t *a = numbers + 2 * column_of(byte);
        const uint8_t *b = numbers + 2 * column_of(byte + 32);
        unsigned place_a = place[a[1]];
        unsigned place_b = place[b[1]];
        low[byte] = a[0];
        low[byte + 32] = b[0];
        pairs[byte] = (uint8_t)(place_a | place_b << 4);
        highest |= (place_a + 1) | (place_b + 1);
    }
    return highest > PLACES;
}

/* Adds the escapes of `columns` numbers that begin at column `first`. There are as many as were
 * counted, unless somebody writes to the file that the numbers lie in: up to `end` then. */
static uint8_t *list_escapes(const uint8_t *numbers, const uint8_t *place, size_t first,
                             size_t columns, size_t row, uint8_t *list, const uint8_t *end)
{
    for (size_t k = 0; k < columns && list < end; k++) {
        uint8_t high = numbers[2 * k + 1];
        uint32_t escape = (uint32_t)((first + k) << 10 | row << 8 | high);
        if (place[high] != PLACES)
            continue;
        memcpy(list, &escape, sizeof escape);
        list += sizeof escape;
    }
    return list;
}

/* What a row lacks to a whole block: numbers whose place is that of +0. */
static void pack_last(const uint8_t *numbers, const uint8_t *place, size_t columns, uint8_t *low,
                      uint8_t *pairs)
{
    memset(low, 0, DENSE_BLOCK_COLUMNS);
    memset(pairs, PLACES << 4 | PLACES, DENSE_BLOCK_COLUMNS / 2);
    for (size_t byte = 0; byte < DENSE_BLOCK_COLUMNS; byte++) {
        size_t column = column_of(byte);
        unsigned shift = byte < 32 ? 0 : 4;
        if (column >= columns)
            continue;
        low[byte] = numbers[2 * column];
        pairs[byte % 32] = (uint8_t)((pairs[byte % 32] & ~(15U << shift)) |
                                     (unsigned)place[numbers[2 * column + 1]] << shift);
    }
}

static size_t store_raw(const uint8_t *rows_in, size_t rows, size_t n, uint8_t *out,
                        dense_group *group)
{
    size_t bytes = raw_bytes(n);
    memcpy(out, rows_in, rows * 2 * n);
    memset(out + rows * 2 * n, 0, bytes - rows * 2 * n);
    group->escapes = DENSE_RAW;
    return bytes;
}

size_t dense_pack_group(const dense_kernels *table, const uint8_t *rows_in, size_t rows, size_t n,
                        uint8_t *out, dense_group *group)
{
    row_code codes[DENSE_GROUP_ROWS];
    size_t escapes = 0;
    for (size_t r = 0; r < rows; r++) {
        choose_code(rows_in + 2 * r * n, n, &codes[r]);
        escapes += codes[r].escapes;
    }
    size_t bytes = packed_bytes(n, escapes);
    if (escapes > escape_limit(n) || bytes > raw_bytes(n))
        return store_raw(rows_in, rows, n, out, group);

    size_t whole = n / DENSE_BLOCK_COLUMNS;
    size_t rest = n % DENSE_BLOCK_COLUMNS;
    uint8_t *list = out + DENSE_LINE;
    const uint8_t *list_end = list + escapes * sizeof(uint32_t);
    uint8_t *block = list + whole_lines(escapes * sizeof(uint32_t));
    memset(out, 0, (size_t)(block - out));
    for (size_t r = 0; r < rows; r++)
        memcpy(out + 16 * r, codes[r].table, 16);
    for (size_t i = 0; i < block_count(n); i++, block += DENSE_BLOCK_BYTES) {
        size_t columns = i < whole ? DENSE_BLOCK_COLUMNS : rest;
        for (size_t r = 0; r < DENSE_GROUP_ROWS; r++) {
            const uint8_t *numbers = rows_in + 2 * (r * n + i * DENSE_BLOCK_COLUMNS);
            uint8_t *low = block + 64 * r;
            uint8_t *pairs = block + 256 + 32 * r;
            if (r >= rows)
                pack_last(rows_in, codes[0].place, 0, low, pairs);
            else if (i == whole)
                pack_last(numbers, codes[r].place, rest, low, pairs);
            if (r < rows &&
                (i == whole || table->pack(numbers, codes[r].place, codes[r].table, low, pairs)))
                list = list_escapes(numbers, codes[r].place, i * DENSE_BLOCK_COLUMNS, columns, r,
                                    list, list_end);
        }
    }
    group->escapes = (uint32_t)escapes;
    return bytes;
}
