/*
 * A sketch of a matrix, and the rows of the matrix that have the largest products with a vector,
 * found through it without reading them all.
 *
 * For every row the sketch gives an estimate of the product and a bound of its error that holds
 * whatever the numbers are: by Cauchy-Schwarz, with the norm of what the sketch leaves of the row,
 * and with every rounding counted, those of the exact product too. Rows whose estimate plus bound
 * lies below what is known to be reached are left out; of the others the low plane is read, and of
 * what is still in play the row itself. So the rows found, and their products, are those that
 * op_linear_maps would give, bit for bit.
 */
#ifndef OP_SKETCH_H
#define OP_SKETCH_H

#include <stdbool.h>

#include "kernel/sketch.h"
#include "op/op.h"

typedef struct sketch {
    size_t rows;
    size_t columns;
    size_t groups;        /* of SKETCH_GROUP columns, the last one padded with zeros */
    uint8_t *planes[2];   /* [rows, groups, 16] the high and the low one */
    uint8_t *multipliers; /* [rows, groups] */
    sketch_row *known;    /* [rows] */
} sketch;

/* Floats of scratch that a thread needs to build a sketch. */
#define OP_SKETCH_FLOATS(columns) (MATRIX_UNIT_ROWS * ((columns) + SKETCH_GROUP))

/* Sketches rows [first, first + count) of `weights`; the sizes of `out` are set. */
void op_sketch(const team *self, const matrix *weights, size_t first, size_t count, sketch *out,
               float *scratch);

/* The largest norm among the rows that are sketched. */
float sketch_largest_norm(const sketch *of);

/* ---- the best rows --------------------------------------------------------------------------- */

/* A row and what it is ranked by: descending score, ascending id. */
typedef struct ranked_row {
    double score;
    float product;
    uint32_t id;
} ranked_row;

/*
 * Which rows are wanted. The score of a row is its product, or with a temperature above 0
 * row_score() of it. With `least_share` above 0 only rows of which row_likely() says so count.
 */
typedef struct row_query {
    size_t count;        /* the best so many */
    const bool *allowed; /* [rows] the rows that count; NULL: all do */
    float temperature;
    uint64_t seed;
    uint64_t position;
    float best; /* the largest product of all, for least_share */
    double least_share;
} row_query;

/* product / temperature + Gumbel noise, a function of seed, position and id. */
double row_score(float product, uint32_t id, float temperature, uint64_t seed, uint64_t position);

/* exp((product - best) / temperature) >= least_share */
bool row_likely(float product, float best, float temperature, double least_share);

/* What was read to answer, in rows. */
typedef struct row_reads {
    uint64_t high;  /* of the high plane */
    uint64_t low;   /* of the low plane */
    uint64_t exact; /* of the matrix */
} row_reads;

/* One thread's share of a search. */
typedef struct row_finder {
    ranked_row *leaders; /* [room] best by estimate */
    ranked_row *kept;    /* [room] best by exact product */
    size_t leader_count;
    size_t kept_count;
    uint64_t low;
    uint64_t exact;
} row_finder;

/* Rows, one behind another, that are looked at only where the largest that one of their products
 * can be is large enough. */
#define SEARCH_BLOCK 64

/* What a search works in: shared by the team. */
typedef struct row_search {
    const matrix *weights;
    const sketch *sketch;
    float largest_norm;
    size_t room;          /* most rows that a query may want, and SEARCH_LEADERS more */
    int8_t *digits;       /* [2, 2, groups, 16] */
    int16_t *centre;      /* [2, groups, 4, 2] */
    float *estimates;     /* [rows] by the high plane */
    sketch_top *blocks;   /* [rows / SEARCH_BLOCK, rounded up] */
    row_finder *finders;  /* [threads] */
    size_t used;          /* digits of the present vector, 1 or 2 */
    sketch_bounds bounds; /* its own; the step is that of the lowest of them */
    bool usable;          /* the present vector has bounds */
    op_alarm alarm;       /* an exact product is not finite */
    double reached;       /* the score that the last of the best has at least */
} row_search;

/* Rows looked at exactly beyond those wanted, to know early what is reached. */
#define SEARCH_LEADERS 8

/* Estimates all rows' products with x [columns] by the high plane. Afterwards search->usable tells
 * whether x has sizes for which bounds hold: if not, there is nothing to ask. */
void op_estimate(const team *self, const float *x, row_search *search);

/*
 * Writes the rows that `query` wants to `best` [query->count], in order, and their number to
 * *found; x is the one that was estimated. panel: this thread's own OP_PANEL_FLOATS(columns).
 * Raises search->alarm when a product is not finite; all that are not finite are seen.
 */
void op_find_best(const team *self, const float *x, const row_query *query, row_search *search,
                  ranked_row *best, size_t *found, float *panel);

#endif
