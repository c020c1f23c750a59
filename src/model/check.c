/* Reading every weight in search of numbers that are none. */
#include "model/model.h"

enum { PIECE = 4 << 20 }; /* bytes looked at between two calls of progress */

/* Index of the first bad element among `bytes` bytes, or SIZE_MAX. */
static size_t find_bad(const tensor *t, bool scales, const uint8_t *data, size_t bytes)
{
    if (t->type == DTYPE_U8) {
        for (size_t i = 0; scales && i < bytes; i++)
            if (data[i] == 255)
                return i;
        return SIZE_MAX;
    }
    /* all exponent bits set: infinity or NaN */
    size_t width = dtype_bytes(t->type);
    uint32_t exponent = t->type == DTYPE_F32   ? 0x7f800000U
                        : t->type == DTYPE_F16 ? 0x7c00U
                                               : 0x7f80U;
    for (size_t i = 0; i + width <= bytes; i += width) {
        uint32_t bits = (uint32_t)data[i] | (uint32_t)data[i + 1] << 8;
        if (width == 4)
            bits |= (uint32_t)data[i + 2] << 16 | (uint32_t)data[i + 3] << 24;
        if ((bits & exponent) == exponent)
            return i / width;
    }
    return SIZE_MAX;
}

/* Looks through one tensor; *done counts bytes over all of them. */
static gptoss_status check_tensor(const gptoss_model *model, const tensor *t, bool scales,
                                  gptoss_progress_fn progress, void *user, uint64_t *done,
                                  uint64_t total, gptoss_error *error)
{
    for (uint64_t at = 0; at < t->bytes; at += PIECE) {
        if (progress != NULL && !progress(user, t->name, *done + at, total))
            return fail(error, GPTOSS_INTERRUPTED, "interrupted while checking %s", t->name);
        size_t bytes = t->bytes - at < PIECE ? t->bytes - at : PIECE;
        size_t bad = find_bad(t, scales, t->data + at, bytes);
        if (bad != SIZE_MAX)
            return fail(error, GPTOSS_NUMERIC,
                        "%s: tensor %s: element %llu: expected a number, found %s",
                        checkpoint_file_path(model->files, t->file), t->name,
                        (unsigned long long)at / dtype_bytes(t->type) + bad,
                        scales ? "the scale 255 (NaN)" : "NaN or infinity");
    }
    *done += t->bytes;
    return GPTOSS_OK;
}

gptoss_status gptoss_model_check(const gptoss_model *model, gptoss_progress_fn progress, void *user,
                                 gptoss_error *error)
{
    gptoss_model_info info;
    gptoss_model_describe(model, &info);
    uint64_t done = 0;
    weight_walk walk = {0};
    weight_role role;
    for (const tensor *t; (t = model_next_weight(model, &walk, &role)) != NULL;) {
        bool scales = role == WEIGHT_GATE_UP_SCALES || role == WEIGHT_DOWN_SCALES;
        gptoss_status status =
            check_tensor(model, t, scales, progress, user, &done, info.bytes_tensors, error);
        if (status != GPTOSS_OK)
            return status;
    }
    if (progress != NULL)
        progress(user, "weights", done, done);
    return GPTOSS_OK;
}
