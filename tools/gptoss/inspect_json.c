/* gptoss inspect --json: names that scripts may rely on. */
#include "console.h"
#include "inspect.h"
#include "json_writer.h"

static void print_architecture(json_writer *json, const gptoss_config *config)
{
    json_whole(json, "layers", config->layers);
    json_whole(json, "hidden", config->hidden);
    json_whole(json, "intermediate", config->intermediate);
    json_whole(json, "vocab", config->vocab);
    json_whole(json, "heads", config->heads);
    json_whole(json, "kv_heads", config->kv_heads);
    json_whole(json, "head_dim", config->head_dim);
    json_whole(json, "experts", config->experts);
    json_whole(json, "experts_per_token", config->experts_per_token);
    json_whole(json, "window", config->window);
    json_whole(json, "context", config->context);
    json_array(json, "layer_types");
    for (uint32_t layer = 0; layer < config->layers; layer++)
        json_text(json, NULL, config->sliding[layer] ? "sliding" : "full");
    json_array_end(json);
    json_bool(json, "tied_embeddings", config->tied_embeddings);
    json_bool(json, "attention_bias", config->attention_bias);
    json_single(json, "norm_eps", config->norm_eps);
    json_single(json, "swiglu_limit", config->swiglu_limit);
    json_single(json, "swiglu_alpha", config->swiglu_alpha);
    json_object(json, "rope");
    json_real(json, "theta", config->rope.theta);
    json_bool(json, "yarn", config->rope.yarn);
    json_real(json, "factor", config->rope.factor);
    json_real(json, "beta_fast", config->rope.beta_fast);
    json_real(json, "beta_slow", config->rope.beta_slow);
    json_real(json, "original_context", config->rope.original_context);
    json_real(json, "attention_factor", config->rope.attention_factor);
    json_bool(json, "truncate", config->rope.truncate);
    json_object_end(json);
    json_ids(json, "stops", config->stops, config->stop_count);
}

static void print_sizes(json_writer *json, const gptoss_model_info *info)
{
    json_object(json, "parameters");
    json_whole(json, "total", info->parameters_total);
    json_whole(json, "active", info->parameters_active);
    json_object_end(json);
    json_object(json, "bytes");
    json_whole(json, "file", info->bytes_files);
    json_whole(json, "per_token", info->bytes_per_token);
    json_whole(json, "tensors", info->bytes_tensors);
    json_whole(json, "embedding", info->bytes_embedding);
    json_whole(json, "unembedding", info->bytes_unembedding);
    json_whole(json, "attention", info->bytes_attention);
    json_whole(json, "router", info->bytes_router);
    json_whole(json, "norms", info->bytes_norms);
    json_whole(json, "expert_weights", info->bytes_expert_weights);
    json_whole(json, "expert_scales", info->bytes_expert_scales);
    json_whole(json, "expert_biases", info->bytes_expert_biases);
    json_object_end(json);
}

static void print_memory(json_writer *json, const inspection *of)
{
    json_object(json, "memory");
    json_whole(json, "weights", of->memory.weights);
    json_whole(json, "cache", of->memory.cache);
    json_whole(json, "scratch", of->memory.scratch);
    json_whole(json, "total", inspection_needs(of));
    json_whole(json, "available", of->memory.available);
    json_whole(json, "machine", of->memory.machine);
    json_whole(json, "context", of->context);
    json_bool(json, "fits", inspection_needs(of) <= of->memory.available);
    json_object_end(json);
}

static void print_files(json_writer *json, const inspection *of)
{
    json_array(json, "files");
    for (size_t i = 0; i < gptoss_model_file_count(of->model); i++) {
        uint64_t bytes;
        const char *path = gptoss_model_file(of->model, i, &bytes);
        json_object(json, NULL);
        json_text(json, "path", path);
        json_whole(json, "bytes", bytes);
        if (of->digests != NULL)
            json_text(json, "sha256", of->digests[i]);
        json_object_end(json);
    }
    json_array_end(json);
}

static void print_tensors(json_writer *json, const gptoss_model *model)
{
    json_array(json, "tensors");
    for (size_t i = 0; i < gptoss_model_tensor_count(model); i++) {
        gptoss_tensor_info tensor;
        gptoss_model_tensor(model, i, &tensor);
        json_object(json, NULL);
        json_text(json, "name", tensor.name);
        json_text(json, "dtype", tensor.dtype);
        json_array(json, "shape");
        for (uint32_t axis = 0; axis < tensor.rank; axis++)
            json_whole(json, NULL, tensor.shape[axis]);
        json_array_end(json);
        json_whole(json, "bytes", tensor.bytes);
        json_text(json, "file", tensor.file);
        json_whole(json, "offset", tensor.offset);
        json_object_end(json);
    }
    json_array_end(json);
}

void inspect_print_json(const inspection *of)
{
    json_writer json = JSON_WRITER(stdout);
    json_object(&json, NULL);
    json_text(&json, "directory", gptoss_model_directory(of->model));
    json_text(&json, "layout", gptoss_layout_name(of->info.layout));
    print_architecture(&json, of->config);
    print_sizes(&json, &of->info);
    print_memory(&json, of);
    print_files(&json, of);
    if (of->given->tensors)
        print_tensors(&json, of->model);
    if (of->given->check)
        json_text(&json, "check", "good"); /* anything else has ended the command */
    json_real(&json, "open_seconds", of->seconds);
    json_object_end(&json);
    putchar('\n');
}
