#include "transposed.h"

#include "base/number.h"

void mx_fill_transposed(const mx_matrix *matrix, uint64_t first, uint32_t rows, uint32_t group,
                        uint32_t groups, uint32_t columns, dtype type, void *out)
{
    uint16_t *half = out;
    uint32_t *full = out;
    for (uint32_t row = 0; row < rows; row++) {
        uint64_t index = (first + row) * groups + group;
        uint8_t block[MX_GROUP / 2], scale;
        mx_fill_blocks(matrix, index * sizeof block, sizeof block, block);
        mx_fill_scales(matrix, index, 1, &scale);
        uint32_t codes[16];
        for (unsigned code = 0; code < 16; code++)
            codes[code] = random_encode(fp4_to_float(code) * e8m0_to_float(scale), type);
        for (uint32_t column = 0; column < columns; column++) {
            uint32_t value = codes[block[column / 2] >> (4 * (column % 2)) & 15];
            if (type == DTYPE_F32)
                full[(size_t)column * rows + row] = value;
            else
                half[(size_t)column * rows + row] = (uint16_t)value;
        }
    }
}
