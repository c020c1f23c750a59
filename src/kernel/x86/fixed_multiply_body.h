/*
 * Products of up to FIXED_MULTIPLY_ROWS weight rows with a batch, a panel at a time. The including
 * file first defines, static,
 *     unpack(blocks, scales, rows, columns, panel)     at most 32 rows to a panel
 *     multiply_panel(panel, rows, columns, batch, digits, sums, ahead, y, y_stride)
 *         sums: [batch][4][32] for its own use; ahead: what to fetch meanwhile
 * Tiles are prepared rows one after another.
 */
#include "kernel/x86/fixed_panel.h"

static void multiply_panels(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            size_t columns, fixed_batch batch, unsigned digits, void *scratch,
                            fixed_ahead ahead, float *y, size_t y_stride)
{
    uint8_t *panel = scratch;
    float *sums = (float *)(void *)(panel + fixed_panel_bytes(columns));
    size_t panels = (rows + FIXED_PANEL_ROWS - 1) / FIXED_PANEL_ROWS;
    ahead.bytes /= panels;
    for (size_t r = 0; r < rows; r += FIXED_PANEL_ROWS) {
        size_t count = rows - r < FIXED_PANEL_ROWS ? rows - r : FIXED_PANEL_ROWS;
        unpack(blocks + r * columns / 2, scales + r * columns / FIXED_GROUP, count, columns, panel);
        multiply_panel(panel, count, columns, batch, digits, sums, ahead, y + r, y_stride);
        if (ahead.bytes > 0) /* `at` may be NULL */
            ahead.at += ahead.bytes;
    }
}
