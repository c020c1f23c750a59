/* Fixed-point products in plain C: what every other level must equal, bit for bit. */
#include "kernel/fixed.h"

#include <math.h>
#include <string.h>

#include "base/number.h"

/* 2 w of an E2M1 code. */
static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- activations ----------------------------------------------------------------------------- */

/* The largest magnitude of a group by its bits, so that NaN is above infinity. */
static uint32_t largest_bits(const float *x)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        uint32_t bits = bits_from_float(x[i]) & 0x7fffffffU;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

/* The whole numbers of a group; returns its scale. */
static float round_group(const float *x, float limit, int32_t *whole)
{
    uint32_t bits = largest_bits(x);
    float largest = float_from_bits(bits);
    memset(whole, 0, FIXED_GROUP * sizeof *whole);
    if (bits >= 0x7f800000U)
        return NAN;
    if (largest < 0x1p-96F)
        return 0.0F;
    float inverse = limit / largest;
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        float scaled = x[i] * inverse;
        scaled = scaled > limit ? limit : scaled;
        scaled = scaled < -limit ? -limit : scaled;
        whole[i] = (int32_t)rintf(scaled);
    }
    return largest / limit;
}

/* Takes the lowest digit off. */
static int8_t pop_digit(int32_t *whole)
{
    int32_t digit = ((*whole + 128) & 255) - 128;
    *whole = (*whole - digit) / 256;
    return (int8_t)digit;
}

/* Puts group `place` of a block down. */
static void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
{
    static const float limits[FIXED_MAX_DIGITS] = {127.0F, 32639.0F, 8355711.0F};
    int32_t whole[FIXED_GROUP];
    int32_t high = 0;
    int32_t low = 0;
    float half_scale = 0.5F * round_group(x, limits[digits - 1], whole);
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        uint8_t *to = block + i % 2 * 64 + 16 * place + i / 2;
        for (unsigned digit = digits; digit-- > 0;) {
            if (digits != 3 ? digit == digits - 1 : digit == 1)
                high += whole[i];
            int8_t popped = pop_digit(&whole[i]);
            to[(size_t)FIXED_COLUMNS * digit] = (uint8_t)popped;
            low += digit == 2 ? popped : 0;
        }
    }
    high *= -FIXED_OFFSET;
    low *= -FIXED_OFFSET;
    uint8_t *tail = block + (size_t)FIXED_COLUMNS * digits;
    memcpy(tail + offsetof(fixed_tail, half_scale) + 4 * place, &half_scale, 4);
    memcpy(tail + offsetof(fixed_tail, high) + 4 * place, &high, 4);
    memcpy(tail + offsetof(fixed_tail, low) + 4 * place, &low, 4);
}

static void quantise(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    memset(row, 0, fixed_row_bytes(n, digits));
    for (size_t group = 0; group < n / FIXED_GROUP; group++)
        store_group(x + group * FIXED_GROUP, digits, group % FIXED_GROUPS,
                    row + group / FIXED_GROUPS * fixed_block_bytes(digits));
}

/* ---- products -------------------------------------------------------------------------------- */

/* What a group's digits have gathered: sums of w2 by digit. */
static float join_digits(const int32_t sums[FIXED_MAX_DIGITS], unsigned digits)
{
    if (digits == 1)
        return (float)sums[0];
    int32_t high = 256 * sums[0] + sums[1];
    return digits == 2 ? (float)high : fmaf((float)high, 256.0F, (float)sums[2]);
}

/* t of 16 bytes of weights and group `place` of a block. */
static float dot_group(const uint8_t *codes, const uint8_t *block, size_t place, unsigned digits)
{
    int32_t sums[FIXED_MAX_DIGITS] = {0};
    for (unsigned digit = 0; digit < digits; digit++) {
        const uint8_t *from = block + (size_t)FIXED_COLUMNS * digit + 16 * place;
        for (size_t i = 0; i < 16; i++)
            sums[digit] += doubled[codes[i] & 15] * (int8_t)from[i] +
                           doubled[codes[i] >> 4] * (int8_t)from[64 + i];
    }
    return join_digits(sums, digits);
}

static float half_scale_of(const uint8_t *block, size_t place, unsigned digits)
{
    float value;
    memcpy(&value,
           block + (size_t)FIXED_COLUMNS * digits + offsetof(fixed_tail, half_scale) + 4 * place,
           sizeof value);
    return value;
}

static void dot_rows(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                     size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    size_t whole = fixed_blocks(columns) * FIXED_GROUPS;
    for (size_t r = 0; r < rows; r++) {
        float sums[FIXED_GROUPS] = {0};
        for (size_t g = 0; g < whole; g++) {
            const uint8_t *block = x + g / FIXED_GROUPS * fixed_block_bytes(digits);
            size_t place = g % FIXED_GROUPS;
            float total = 0.0F;
            float factor = 0.0F;
            if (g < groups) {
                total = dot_group(blocks + (r * groups + g) * 16, block, place, digits);
                factor =
                    e8m0_to_float(scales[r * groups + g]) * half_scale_of(block, place, digits);
            }
            sums[place] = fmaf(total, factor, sums[place]);
        }
        y[r] = ((sums[0] + sums[1]) + sums[2]) + sums[3];
    }
}

static void quantise_tile(const float *const rows[], size_t count, size_t batch,
                          fixed_columns columns, unsigned digits, uint8_t *tile)
{
    (void)batch;
    for (size_t b = 0; b < count; b++)
        quantise(rows[b], columns.count, digits,
                 fixed_columns_at(tile + b * fixed_row_bytes(columns.n, digits), columns, digits));
}

static void multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                     fixed_batch batch, unsigned digits, void *scratch, fixed_ahead ahead, float *y,
                     size_t y_stride)
{
    (void)scratch;
    (void)ahead;
    for (size_t b = 0; b < batch.count; b++)
        dot_rows(blocks, scales, rows, batch.tiles + b * fixed_row_bytes(columns, digits), columns,
                 digits, y + b * y_stride);
}

void fixed_overlay_plain(fixed_table *table)
{
    *table = (fixed_table){quantise, quantise_tile, dot_rows, multiply};
}
