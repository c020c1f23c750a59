#include "model/residents.h"

#include <stdlib.h>

static bool lies_in(const tensor *where, const matrix *what)
{
    return what->data >= where->data && what->data < where->data + where->bytes;
}

/* Whether a matrix of the attention still lies in this tensor and is read there. */
static bool has_projection(const gptoss_model *model, const tensor *where)
{
    bool found = false;
    for (uint32_t l = 0; l < model->config.layers && !model->only_q8; l++) {
        const layer_weights *layer = &model->weights.layers[l];
        found = found || lies_in(where, &layer->q) || lies_in(where, &layer->k) ||
                lies_in(where, &layer->v) || lies_in(where, &layer->out);
    }
    return found;
}

static bool is_read(const gptoss_model *model, weight_role role, const tensor *where)
{
    switch (role) {
    case WEIGHT_EMBEDDING:
    case WEIGHT_UNEMBEDDING:
        return lies_in(where, &model->weights.embedding) ||
               lies_in(where, &model->weights.unembedding);
    case WEIGHT_QKV:
    case WEIGHT_Q:
    case WEIGHT_K:
    case WEIGHT_V:
    case WEIGHT_OUT:
        return has_projection(model, where);
    default:
        return true;
    }
}

static void add(residents *to, const void *start, size_t bytes)
{
    if (start == NULL || bytes == 0)
        return;
    to->list[to->count++] = (resident){start, bytes};
    to->bytes += bytes;
}

gptoss_status residents_of(const gptoss_model *model, residents *out, gptoss_error *error)
{
    const uint8_t *start;
    size_t bytes;
    size_t most = checkpoint_tensor_count(model->files) + 2; /* the 8 bits and the sketch */
    while (pack_stretch(model->packed, most - checkpoint_tensor_count(model->files) - 2, &start,
                        &bytes))
        most++;
    *out = (residents){.list = calloc(most, sizeof *out->list)};
    if (out->list == NULL)
        return fail_memory(error, "a list of weights", most * sizeof *out->list);
    weight_walk walk = {0};
    weight_role role;
    for (const tensor *t; (t = model_next_weight(model, &walk, &role)) != NULL;)
        if (is_read(model, role, t))
            add(out, t->data, t->bytes);
    out->in_files = checkpoint_in_memory(model->files) ? 0 : out->bytes;
    for (size_t i = 0; pack_stretch(model->packed, i, &start, &bytes); i++)
        add(out, start, bytes);
    add(out, model->rounded.memory, model->rounded.bytes);
    if (model->sketch != NULL)
        add(out, model->sketch->memory, model->sketch->bytes);
    return GPTOSS_OK;
}
