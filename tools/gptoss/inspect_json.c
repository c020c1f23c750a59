/* gptoss inspect --json: names that scripts may rely on. */
#include "console.h"
#include "inspect.h"
#include "json_writer.h"

static void print_architecture(json_writer *json, const gptoss_config *config)
{
    json_put_whole(json, "layers", config->layers);
    json_put_whole(json, "hidden", config->hidden);
    json_put_whole(json, "intermediate", config->intermediate);
    json_put_whole(json, "vocab", config->vocab);
    json_put_whole(json, "heads", config->heads);
    json_put_whole(json, "kv_heads", config->kv_heads);
    json_put_whole(json, "head_dim", config->head_dim);
    json_put_whole(json, "experts", config->experts);
    json_put_whole(json, "experts_per_token", config->experts_per_token);
    json_put_whole(json, "window", config->window);
    json_put_whole(json, "context", config->context);
    json_put_array(json, "layer_types");
    for (uint32_t layer = 0; layer < config->layers; layer++)
        json_put_text(json, NULL, config->sliding[layer] ? "sliding" : "full");
    json_end_array(json);
    json_put_bool(json, "tied_embeddings", config->tied_embeddings);
    json_put_bool(json, "attention_bias", config->attention_bias);
    json_put_single(json, "norm_eps", config->norm_eps);
    json_put_single(json, "swiglu_limit", config->swiglu_limit);
    json_put_single(json, "swiglu_alpha", config->swiglu_alpha);
    json_put_object(json, "rope");
    json_put_real(json, "theta", config->rope.theta);
    json_put_bool(json, "yarn", config->rope.yarn);
    json_put_real(json, "factor", config->rope.factor);
    json_put_real(json, "beta_fast", config->rope.beta_fast);
    json_put_real(json, "beta_slow", config->rope.beta_slow);
    json_put_real(json, "original_context", config->rope.original_context);
    json_put_real(json, "attention_factor", config->rope.attention_factor);
    json_put_bool(json, "truncate", config->rope.truncate);
    json_end_object(json);
    json_put_ids(json, "stops", config->stops, config->stop_count);
}

static void print_sizes(json_writer *json, const gptoss_model_info *info)
{
    json_put_object(json, "parameters");
    json_put_whole(json, "total", info->parameters_total);
    json_put_whole(json, "active", info->parameters_active);
    json_end_object(json);
    json_put_object(json, "bytes");
    json_put_whole(json, "file", info->bytes_files);
    json_put_whole(json, "per_token", info->bytes_per_token);
    json_put_whole(json, "per_token_packed", info->bytes_per_token_packed);
    json_put_whole(json, "per_token_sketch", info->bytes_per_token_sketch);
    json_put_whole(json, "per_token_both", info->bytes_per_token_both);
    json_put_whole(json, "tensors", info->bytes_tensors);
    json_put_whole(json, "embedding", info->bytes_embedding);
    json_put_whole(json, "unembedding", info->bytes_unembedding);
    json_put_whole(json, "attention", info->bytes_attention);
    json_put_whole(json, "router", info->bytes_router);
    json_put_whole(json, "norms", info->bytes_norms);
    json_put_whole(json, "expert_weights", info->bytes_expert_weights);
    json_put_whole(json, "expert_scales", info->bytes_expert_scales);
    json_put_whole(json, "expert_biases", info->bytes_expert_biases);
    json_end_object(json);
}

static void print_memory(json_writer *json, const inspection *of)
{
    json_put_object(json, "memory");
    json_put_whole(json, "weights", of->memory.weights);
    json_put_whole(json, "cache", of->memory.cache);
    json_put_whole(json, "scratch", of->memory.scratch);
    json_put_whole(json, "total", inspection_needs(of));
    json_put_whole(json, "available", of->memory.available);
    json_put_whole(json, "machine", of->memory.machine);
    json_put_whole(json, "context", of->context);
    json_put_bool(json, "fits", inspection_needs(of) <= of->memory.available);
    json_end_object(json);
}

static void print_files(json_writer *json, const inspection *of)
{
    json_put_array(json, "files");
    for (size_t i = 0; i < gptoss_model_file_count(of->model); i++) {
        uint64_t bytes;
        const char *path = gptoss_model_file(of->model, i, &bytes);
        json_put_object(json, NULL);
        json_put_text(json, "path", path);
        json_put_whole(json, "bytes", bytes);
        if (of->digests != NULL)
            json_put_text(json, "sha256", of->digests[i]);
        json_end_object(json);
    }
    json_end_array(json);
}

static void print_tensors(json_writer *json, const gptoss_model *model)
{
    json_put_array(json, "tensors");
    for (size_t i = 0; i < gptoss_model_tensor_count(model); i++) {
        gptoss_tensor_info tensor;
        gptoss_model_tensor(model, i, &tensor);
        json_put_object(json, NULL);
        json_put_text(json, "name", tensor.name);
        json_put_text(json, "dtype", tensor.dtype);
        json_put_array(json, "shape");
        for (uint32_t axis = 0; axis < tensor.rank; axis++)
            json_put_whole(json, NULL, tensor.shape[axis]);
        json_end_array(json);
        json_put_whole(json, "bytes", tensor.bytes);
        json_put_text(json, "file", tensor.file);
        json_put_whole(json, "offset", tensor.offset);
        json_end_object(json);
    }
    json_end_array(json);
}

void inspect_print_json(const inspection *of)
{
    json_writer json = JSON_WRITER(stdout);
    json_put_object(&json, NULL);
    json_put_text(&json, "directory", gptoss_model_directory(of->model));
    json_put_text(&json, "layout", gptoss_layout_name(of->info.layout));
    print_architecture(&json, of->config);
    print_sizes(&json, &of->info);
    print_memory(&json, of);
    print_files(&json, of);
    if (of->given->tensors)
        print_tensors(&json, of->model);
    if (of->given->check)
        json_put_text(&json, "check", "good"); /* anything else has ended the command */
    json_put_real(&json, "open_seconds", of->seconds);
    json_end_object(&json);
    putchar('\n');
}
