/*
 * Every stage of the checkpoints of tests/golden against the dumps of the official implementations
 * (tools/reference/golden.py): end to end, and each stage from the reference's own input.
 */
#include "check.h"
#include "gptoss.h"

#define PATH_ROOM 1024

/* Stages of a dump: a layer has them from attention_norm to residual, the model embedding,
 * final_norm and logits besides; and of one with hidden states and logits alone. */
#define ALL(layers)    (19 * (layers) + 3)
#define HIDDEN(layers) ((layers) + 2)

typedef struct parity_case {
    const char *model;
    const char *dump;
    double bit_equal; /* at least this share of every stage, isolated */
    size_t stages;    /* in the dump, each layer's apart */
} parity_case;

static const parity_case cases[] = {
    {"published/hf-mxfp4", "published/transformers.safetensors", 0, ALL(3)},
    {"published/original", "published/openai.safetensors", 0, ALL(3)},
    {"published/hf-mxfp4", "published/transformers-bf16.safetensors.gz", 0, ALL(3)},
    {"published/original", "published/openai-bf16.safetensors", 0.99, ALL(3)},
    {"uneven/hf", "uneven/transformers.safetensors", 0, HIDDEN(4)},
    {"uneven/hf", "uneven/transformers-stages.safetensors.gz", 0, ALL(4)},
};

/* The least share of equal bits in any stage of numbers; prints the extremes. */
static double least_equal(const parity_case *c, const gptoss_parity_report *report)
{
    double worst = 0;
    double least = 1;
    for (size_t i = 0; i < report->stage_count; i++) {
        const gptoss_parity_stage *stage = &report->stages[i];
        if (stage->stage == GPTOSS_STAGE_EXPERTS)
            continue;
        worst = stage->max_error > worst ? stage->max_error : worst;
        least = stage->bit_equal < least ? stage->bit_equal : least;
    }
    printf("%s, %s: largest error %.1e, equal bits %.1f %% at least, %zu flips\n", c->dump,
           report->isolated ? "isolated" : "chained", worst, 100 * least, report->flip_count);
    return least;
}

/* One of the two modes, within the built-in tolerances. */
static void compare(const parity_case *c, gptoss_executor *executor,
                    const gptoss_reference *reference, bool isolated)
{
    gptoss_error error;
    gptoss_parity_report *report = NULL;
    gptoss_parity_options options = {.isolated = isolated};
    gptoss_status status =
        gptoss_parity(executor, reference, &options, NULL, NULL, &report, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status != GPTOSS_OK)
        return;
    double equal = least_equal(c, report);
    const char *first =
        report->departed ? gptoss_stage_name(report->stages[report->departure].stage) : "nothing";
    CHECK(report->pass, "%s: %s departs", c->dump, first);
    CHECK(report->stage_count == c->stages, "%s: %zu stages of %zu", c->dump, report->stage_count,
          c->stages);
    CHECK(!isolated || equal >= c->bit_equal, "%s: %.2f %% equal bits", c->dump, 100 * equal);
    gptoss_parity_free(report);
}

static void check_case(const parity_case *c)
{
    char model_path[PATH_ROOM];
    char dump_path[PATH_ROOM];
    snprintf(model_path, sizeof model_path, "%s/%s", GOLDEN_DIR, c->model);
    snprintf(dump_path, sizeof dump_path, "%s/%s", GOLDEN_DIR, c->dump);
    gptoss_error error;
    gptoss_reference *reference = NULL;
    gptoss_model *model = NULL;
    gptoss_executor *executor = NULL;
    gptoss_status status = gptoss_reference_open(dump_path, &reference, &error);
    if (status == GPTOSS_OK)
        status = gptoss_model_open(model_path, &model, &error);
    if (status == GPTOSS_OK) {
        gptoss_executor_options options = {.threads = 1, .chunk = 7};
        if (gptoss_reference_is_bf16(reference))
            options.numerics = GPTOSS_NUMERICS_TORCH_BF16;
        status = gptoss_executor_open(model, &options, &executor, &error);
    }
    CHECK(status == GPTOSS_OK, "%s", error.message);
    for (int isolated = 0; isolated < 2 && status == GPTOSS_OK; isolated++)
        compare(c, executor, reference, isolated);
    gptoss_executor_close(executor);
    gptoss_model_close(model);
    gptoss_reference_close(reference);
}

int main(void)
{
    gptoss_error error;
    if (gptoss_cpu_choose(NULL, &error) == GPTOSS_UNSUPPORTED) {
        printf("skipped: %s\n", error.message);
        return 77;
    }
    printf("kernels: %s\n", gptoss_cpu_level());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i]);
    return test_result();
}
