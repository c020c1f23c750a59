#include "checkpoint/random_weights.h"

#include <math.h>
#include <string.h>

#include "base/number.h"

uint64_t random_stream(uint64_t seed, uint32_t layer, random_role role)
{
    return random_word(random_word(seed, layer), role);
}

uint32_t random_encode(float value, dtype type)
{
    if (type == DTYPE_BF16)
        return bf16_from_float(value);
    if (type == DTYPE_F16)
        return f16_from_float(value);
    return bits_from_float(value);
}

/* The x at which the standard normal distribution function is p, by bisection. */
static double normal_quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (erfc(-middle * M_SQRT1_2) / 2 < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

void normal_make(normal *out, double mean, double deviation, dtype type)
{
    static _Thread_local double quantiles[NORMAL_QUANTILES]; /* threads make their parts at once */
    if (quantiles[0] == 0)
        for (int i = 0; i < NORMAL_QUANTILES; i++)
            quantiles[i] = normal_quantile((i + 0.5) / NORMAL_QUANTILES);

    double extent = fabs(mean) + deviation * quantiles[NORMAL_QUANTILES - 1];
    double step = extent > 0 ? exp2(ceil(log2(extent / 256))) : 1;
    out->type = type;
    for (int i = 0; i < NORMAL_QUANTILES; i++) {
        double value = rint((mean + deviation * quantiles[i]) / step) * step;
        out->codes[i] = random_encode((float)value, type);
    }
}

/* A word holds four 16-bit lanes, of which the low 12 bits choose a quantile. */
#define LANES 4
static inline uint32_t lane_code(const normal *table, uint64_t word, uint32_t lane)
{
    return table->codes[(word >> (16 * lane)) % NORMAL_QUANTILES];
}

void normal_fill(const normal *table, uint64_t stream, uint64_t first, size_t count, void *out)
{
    uint16_t *half = out;
    uint32_t *full = out;
    for (size_t i = 0; i < count;) {
        uint64_t word = random_word(stream, (first + i) / LANES);
        uint32_t lane = (uint32_t)((first + i) % LANES);
        for (; lane < LANES && i < count; lane++, i++)
            if (table->type == DTYPE_F32)
                full[i] = lane_code(table, word, lane);
            else
                half[i] = (uint16_t)lane_code(table, word, lane);
    }
}

/* What a layer adds to the square of the residual, which begins with 1: found by measuring the
 * shapes of 20b with 2 to 24 layers. */
#define LAYER_SQUARE 0.75

void winners_make(winners *out, uint64_t embedding, uint64_t rows, uint64_t columns,
                  uint32_t layers)
{
    /* A row that is the embedding's, divided by sqrt(columns), meets it in the normed residual with
     * columns / sqrt(columns) / residual; logits have a standard deviation of 1. */
    double residual = sqrt(1.0 + LAYER_SQUARE * layers);
    double share = fmin(RANDOM_WINNER_MARGIN * residual / sqrt((double)columns), 1.0);
    *out = (winners){embedding, rows, columns, (uint64_t)lrint(share * (double)columns)};
}

void winners_fill(const winners *planted, const normal *table, uint64_t stream, uint64_t first,
                  size_t count, void *out)
{
    size_t size = table->type == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t);
    uint8_t *to = out;
    while (count > 0) {
        uint64_t row = first / planted->columns;
        uint64_t column = first % planted->columns;
        bool common = column < planted->common;
        uint64_t left = (common ? planted->common : planted->columns) - column;
        size_t run = left < count ? (size_t)left : count;
        uint64_t token = (row + planted->rows - 1) % planted->rows;
        normal_fill(table, common ? planted->embedding : stream,
                    common ? token * planted->columns + column : first, run, to);
        first += run;
        count -= run;
        to += run * size;
    }
}

void mx_make(mx_matrix *out, uint64_t codes, uint64_t scales, uint32_t columns)
{
    double square = 0; /* of a uniformly random code, in the mean */
    for (unsigned code = 0; code < 16; code++)
        square += fp4_to_float(code) * fp4_to_float(code) / 16.0;
    double scale_square = 1 / (columns * square);
    int exponent = (int)floor(log2(scale_square) / 2);
    double excess = scale_square / exp2(2.0 * exponent) - 1; /* 0 .. 3: from low to low + 1 */
    out->codes = codes;
    out->scales = scales;
    out->low = (uint8_t)(exponent + 127);
    out->share = (uint8_t)lrint(excess / 3 * 255);
}

/* Copies bytes first .. first + count - 1 of a stream's words, low byte first. */
static void fill_bytes(uint64_t stream, uint64_t first, size_t count, uint8_t *out)
{
    size_t i = 0;
    for (; i < count && (first + i) % 8 != 0; i++)
        out[i] = (uint8_t)(random_word(stream, (first + i) / 8) >> (8 * ((first + i) % 8)));
    for (; i + 8 <= count; i += 8) {
        uint64_t word = random_word(stream, (first + i) / 8);
        memcpy(out + i, &word, 8);
    }
    for (; i < count; i++)
        out[i] = (uint8_t)(random_word(stream, (first + i) / 8) >> (8 * ((first + i) % 8)));
}

void mx_fill_blocks(const mx_matrix *matrix, uint64_t first, size_t count, uint8_t *out)
{
    fill_bytes(matrix->codes, first, count, out);
}

void mx_fill_scales(const mx_matrix *matrix, uint64_t first, size_t count, uint8_t *out)
{
    fill_bytes(matrix->scales, first, count, out);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(matrix->low + (out[i] < matrix->share));
}
