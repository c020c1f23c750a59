/* gptoss inspect for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "console.h"
#include "inspect.h"

/* ---- lines ----------------------------------------------------------------------------------- */

static void print_heading(const char *text)
{
    printf("\n%s\n", text);
}

static void print_whole(const char *name, uint64_t value)
{
    char count[CONSOLE_NUMBER];
    printf("  %-20s %s\n", name, format_count(value, count));
}

static void print_size(const char *name, uint64_t bytes)
{
    char text[CONSOLE_NUMBER];
    printf("  %-20s %12s\n", name, format_bytes(bytes, text));
}

static void print_part(const char *name, uint64_t bytes, uint64_t whole)
{
    char text[CONSOLE_NUMBER];
    double percent = whole > 0 ? 100.0 * (double)bytes / (double)whole : 0.0;
    printf("  %-20s %12s  %5.1f %%\n", name, format_bytes(bytes, text), percent);
}

/* ---- sections -------------------------------------------------------------------------------- */

static void print_architecture(const gptoss_config *config)
{
    uint32_t sliding = inspection_sliding_layers(config);
    print_heading("architecture");
    printf("  %-20s %u (%u sliding, %u full)\n", "layers", config->layers, sliding,
           config->layers - sliding);
    print_whole("hidden", config->hidden);
    print_whole("intermediate", config->intermediate);
    printf("  %-20s %u of %u dimensions, %u for keys and values\n", "heads", config->heads,
           config->head_dim, config->kv_heads);
    printf("  %-20s %u, %u for each token\n", "experts", config->experts,
           config->experts_per_token);
    print_whole("vocab", config->vocab);
    print_whole("window", config->window);
    print_whole("context", config->context);
    if (config->rope.yarn)
        printf("  %-20s theta %g, YaRN factor %g over %g positions%s\n", "rope", config->rope.theta,
               config->rope.factor, config->rope.original_context,
               config->rope.truncate ? ", bounds truncated" : "");
    else
        printf("  %-20s theta %g\n", "rope", config->rope.theta);
    printf("  %-20s", "stops");
    for (uint32_t i = 0; i < config->stop_count; i++)
        printf(" %" PRIu32, config->stops[i]);
    printf("%s\n", config->stop_count == 0 ? " none" : "");
}

static void print_sizes(const gptoss_model_info *info)
{
    uint64_t whole = info->bytes_tensors;
    print_heading("parameters");
    print_whole("total", info->parameters_total);
    print_whole("active per token", info->parameters_active);
    print_heading("bytes");
    print_part("embedding", info->bytes_embedding, whole);
    print_part("unembedding", info->bytes_unembedding, whole);
    print_part("attention", info->bytes_attention, whole);
    print_part("router", info->bytes_router, whole);
    print_part("norms", info->bytes_norms, whole);
    print_part("expert weights", info->bytes_expert_weights, whole);
    print_part("expert scales", info->bytes_expert_scales, whole);
    print_part("expert biases", info->bytes_expert_biases, whole);
    print_part("all tensors", whole, whole);
    print_part("read per token", info->bytes_per_token, whole);
    print_part("  with --pack", info->bytes_per_token_packed, whole);
    if (info->bytes_per_token_sketch > 0) {
        print_part("  with --sketch", info->bytes_per_token_sketch, whole);
        print_part("  with both", info->bytes_per_token_both, whole);
    }
}

static void print_memory(const inspection *of)
{
    char count[CONSOLE_NUMBER];
    const gptoss_memory *memory = &of->memory;
    printf("\nmemory for a context of %s tokens\n", format_count(of->context, count));
    print_size("weights", memory->weights);
    print_size("cache", memory->cache);
    print_size("work space", memory->scratch);
    print_size("together", inspection_needs(of));
    print_size("machine", memory->machine);
    print_size("available", memory->available);
    if (inspection_needs(of) <= memory->available)
        printf("  fits\n");
    else if (memory->cache + memory->scratch <= memory->available)
        printf("  does not fit: parts of the weights would be read from disk again and again\n");
    else
        printf("  does not fit: a smaller -c takes less\n");
}

static void print_files(const inspection *of)
{
    print_heading("files");
    for (size_t i = 0; i < gptoss_model_file_count(of->model); i++) {
        uint64_t bytes;
        const char *path = gptoss_model_file(of->model, i, &bytes);
        const char *slash = strrchr(path, '/');
        print_size(slash != NULL ? slash + 1 : path, bytes);
        if (of->digests != NULL)
            printf("    sha256 %s\n", of->digests[i]);
    }
}

static void print_tensors(const gptoss_model *model)
{
    print_heading("tensors");
    for (size_t i = 0; i < gptoss_model_tensor_count(model); i++) {
        gptoss_tensor_info tensor;
        char text[CONSOLE_NUMBER];
        gptoss_model_tensor(model, i, &tensor);
        printf("  %-52s %-5s %12s  [", tensor.name, tensor.dtype, format_bytes(tensor.bytes, text));
        for (uint32_t axis = 0; axis < tensor.rank; axis++)
            printf("%s%" PRIu64, axis > 0 ? ", " : "", tensor.shape[axis]);
        printf("]\n");
    }
}

void inspect_print_text(const inspection *of)
{
    static const char *const layouts[] = {
        [GPTOSS_LAYOUT_ORIGINAL] = "OpenAI's names, experts in MXFP4",
        [GPTOSS_LAYOUT_HF_MXFP4] = "transformers' names, experts in MXFP4",
        [GPTOSS_LAYOUT_HF] = "transformers' names, experts unquantised",
    };
    printf("%s\n", gptoss_model_directory(of->model));
    printf("layout %s (%s), opened in %.3f s\n", gptoss_layout_name(of->info.layout),
           layouts[of->info.layout], of->seconds);
    print_architecture(of->config);
    print_sizes(&of->info);
    print_memory(of);
    print_files(of);
    if (of->given->check)
        print_heading("check: every weight is finite, every scale is valid");
    if (of->given->tensors)
        print_tensors(of->model);
}
