/* parity/float_type: decoding, spacing and rounding at the edges of each type. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/number.h"
#include "check.h"
#include "parity/float_type.h"

static const dtype types[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16};

static void test_types(void)
{
    for (unsigned type = 0; type < DTYPE_COUNT; type++) {
        bool is = false;
        for (size_t i = 0; i < 4; i++)
            is = is || types[i] == (dtype)type;
        CHECK(float_type_is((dtype)type) == is, "%s", dtype_name((dtype)type));
    }
    CHECK(float_type_roundoff(DTYPE_F64) == 0x1p-53 && float_type_roundoff(DTYPE_F32) == 0x1p-24 &&
              float_type_roundoff(DTYPE_F16) == 0x1p-11 &&
              float_type_roundoff(DTYPE_BF16) == 0x1p-8,
          "roundoffs");
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            CHECK(float_type_coarser(types[i], types[j]) == types[i > j ? i : j], "%zu %zu", i, j);
}

/* Not aligned, from the second number on. */
static void test_decode(void)
{
    static const double expected[] = {-0.0, 1.5, -3.0, 0x1p-14, 0x1p-24, 65504.0};
    uint8_t bytes[1 + 7 * 8];
    for (size_t t = 0; t < 4; t++) {
        double out[6];
        size_t size = dtype_bytes(types[t]);
        for (size_t i = 0; i < 6; i++) {
            float f = (float)expected[i];
            uint16_t half = types[t] == DTYPE_F16 ? f16_from_float(f) : bf16_from_float(f);
            const void *from = size == 8   ? (const void *)&expected[i]
                               : size == 4 ? (const void *)&f
                                           : (const void *)&half;
            memcpy(bytes + 1 + (i + 1) * size, from, size);
        }
        float_type_decode((numbers){bytes + 1, types[t]}, 1, 6, out);
        for (size_t i = 0; i < 5; i++)
            CHECK(out[i] == expected[i], "%s: %g", dtype_name(types[t]), out[i]);
        CHECK(out[5] == (types[t] == DTYPE_BF16 ? 65536.0 : 65504.0), "%g", out[5]);
    }
    const uint16_t odd[] = {0x7f80, 0xff80, 0x7fc0};
    double out[3];
    float_type_decode((numbers){odd, DTYPE_BF16}, 0, 3, out);
    CHECK(out[0] == INFINITY && out[1] == -INFINITY && isnan(out[2]), "not finite");
}

static void test_spacing(void)
{
    static const struct {
        dtype type;
        double value;
        double spacing;
    } cases[] = {
        {DTYPE_F32, 1.0, 0x1p-23},
        {DTYPE_F32, -1.75, 0x1p-23},
        {DTYPE_F32, 2.0, 0x1p-22},
        {DTYPE_F32, 1e-3, 0x1p-33},
        {DTYPE_F32, 0.0, 0x1p-149},
        {DTYPE_F32, 0x1p-149, 0x1p-149},
        {DTYPE_F32, 0x1p-126, 0x1p-149},
        {DTYPE_F32, 0x1p-125, 0x1p-148},
        {DTYPE_F32, 0x1.fffffep127, 0x1p104},
        {DTYPE_BF16, 1.0, 0x1p-7},
        {DTYPE_BF16, 255.0, 1.0},
        {DTYPE_BF16, 0.0, 0x1p-133},
        {DTYPE_F16, 1.0, 0x1p-10},
        {DTYPE_F16, 65504.0, 32.0},
        {DTYPE_F16, 0.0, 0x1p-24},
        {DTYPE_F16, 0x1p-15, 0x1p-24},
        {DTYPE_F64, 1.0, 0x1p-52},
        {DTYPE_F64, 0.0, 0x1p-1021},
        {DTYPE_F64, 0x1p1023, 0x1p971},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double inverse;
        double spacing = float_type_spacing(cases[i].type, cases[i].value);
        float_type_inverse_spacings(cases[i].type, &cases[i].value, 1, 0, &inverse);
        CHECK(spacing == cases[i].spacing && inverse == 1 / spacing, "%s at %a: %a",
              dtype_name(cases[i].type), cases[i].value, spacing);
    }
    double inverse;
    float_type_inverse_spacings(DTYPE_BF16, &(double){0x1p-20}, 1, 0.75, &inverse);
    CHECK(inverse == 0x1p8, "at no less than a magnitude: %a", inverse);
    /* Against the neighbours that the C library knows. */
    float f = 0x1p-130F;
    for (int i = 0; i < 300; i++, f *= 1.7F)
        CHECK(float_type_spacing(DTYPE_F32, f) == (double)nextafterf(f, INFINITY) - f, "%a",
              (double)f);
}

static void test_round(void)
{
    static const double values[] = {1.0 + 0x1p-9, 1.0 + 0x1p-8, 1.0 + 3 * 0x1p-8, -0.0, 1.0 / 3};
    double out[5];
    float_type_round(DTYPE_F64, values, 5, out);
    CHECK(memcmp(out, values, sizeof out) == 0, "F64");
    float_type_round(DTYPE_F32, values, 5, out);
    CHECK(out[0] == values[0] && out[4] == (double)(float)values[4], "F32");
    float_type_round(DTYPE_BF16, values, 5, out);
    CHECK(out[0] == 1 && out[1] == 1 && out[2] == 1 + 0x1p-6 && out[3] == 0 &&
              out[4] == 0.333984375,
          "BF16: ties to even");
    float_type_round(DTYPE_F16, values, 5, out);
    CHECK(out[0] == values[0] && out[4] == 0.333251953125, "F16");
}

int main(void)
{
    test_types();
    test_decode();
    test_spacing();
    test_round();
    return test_result();
}
