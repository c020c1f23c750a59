/* checkpoint/config: both spellings, their defaults and traps, and the sentence for each fault. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint/config.h"
#include "scratch.h"

static gptoss_status parse(const char *text, gptoss_config *out, gptoss_error *error)
{
    json_value *document;
    error->message[0] = '\0';
    if (json_parse(text, strlen(text), "C", &document, error) != GPTOSS_OK) {
        CHECK(false, "the test's own text: %s", error->message);
        return GPTOSS_FORMAT;
    }
    gptoss_status status = config_parse(document, "C", out, error);
    json_free(document);
    return status;
}

static gptoss_config parsed(const char *text)
{
    gptoss_error error;
    static gptoss_config config; /* large for a stack of many */
    CHECK(parse(text, &config, &error) == GPTOSS_OK, "%s: %s", text, error.message);
    return config;
}

#define NEAR(a, b) (fabs((a) - (b)) < 1e-12)

static void check_shape_of_120b(const gptoss_config *c)
{
    CHECK(c->layers == 36 && c->hidden == 2880 && c->intermediate == 2880, "sizes");
    CHECK(c->vocab == 201088 && c->heads == 64 && c->kv_heads == 8 && c->head_dim == 64, "heads");
    CHECK(c->experts == 128 && c->experts_per_token == 4, "experts");
    CHECK(c->window == 128 && c->context == 131072, "window and context");
    CHECK(c->norm_eps == 1e-5F && c->swiglu_limit == 7.0F && c->swiglu_alpha == 1.702F, "numbers");
    CHECK(!c->tied_embeddings && c->attention_bias, "flags");
    for (uint32_t i = 0; i < c->layers; i++)
        CHECK(c->sliding[i] == (i % 2 == 0), "layer %u", i);
    CHECK(c->rope.yarn && c->rope.theta == 150000.0 && c->rope.factor == 32.0, "rope");
    CHECK(c->rope.beta_fast == 32.0 && c->rope.beta_slow == 1.0, "betas");
    CHECK(c->rope.original_context == 4096.0 && !c->rope.truncate, "pivot");
    CHECK(NEAR(c->rope.attention_factor, 1.3465735902799727), "%.17g", c->rope.attention_factor);
}

static void test_defaults(void)
{
    gptoss_config hf = parsed("{\"model_type\":\"gpt_oss\"}");
    check_shape_of_120b(&hf);
    CHECK(hf.stop_count == 0, "no eos");
    gptoss_config openai = parsed("{\"num_hidden_layers\":36}");
    check_shape_of_120b(&openai);
    gptoss_config null = parsed("{\"model_type\":\"gpt_oss\",\"rope_scaling\":null,"
                                "\"rope_parameters\":null,\"layer_types\":null,"
                                "\"swiglu_limit\":null,\"eos_token_id\":null}");
    check_shape_of_120b(&null);
}

/* The keys of the published files, with the 20b model's values. */
static void test_published(void)
{
    gptoss_config hf = parsed(
        "{\"architectures\":[\"GptOssForCausalLM\"],\"attention_bias\":true,"
        "\"attention_dropout\":0.0,\"eos_token_id\":200002,\"experts_per_token\":4,"
        "\"head_dim\":64,\"hidden_act\":\"silu\",\"hidden_size\":2880,"
        "\"initial_context_length\":4096,\"initializer_range\":0.02,\"intermediate_size\":2880,"
        "\"layer_types\":[\"sliding_attention\",\"full_attention\"],"
        "\"max_position_embeddings\":131072,\"model_type\":\"gpt_oss\","
        "\"num_attention_heads\":64,\"num_experts_per_tok\":4,\"num_hidden_layers\":2,"
        "\"num_key_value_heads\":8,\"num_local_experts\":32,\"output_router_logits\":false,"
        "\"pad_token_id\":199999,\"quantization_config\":{\"modules_to_not_convert\":[],"
        "\"quant_method\":\"mxfp4\"},\"rms_norm_eps\":1e-05,"
        "\"rope_scaling\":{\"beta_fast\":32.0,\"beta_slow\":1.0,\"factor\":32.0,"
        "\"original_max_position_embeddings\":4096,\"rope_type\":\"yarn\",\"truncate\":false},"
        "\"rope_theta\":150000,\"router_aux_loss_coef\":0.9,\"sliding_window\":128,"
        "\"swiglu_limit\":7.0,\"tie_word_embeddings\":false,"
        "\"transformers_version\":\"4.55.0.dev0\",\"use_cache\":true,\"vocab_size\":201088}");
    CHECK(hf.layers == 2 && hf.experts == 32 && hf.sliding[0] && !hf.sliding[1], "20b");
    CHECK(hf.rope.yarn && !hf.rope.truncate && hf.rope.factor == 32.0, "rope");
    CHECK(hf.stop_count == 1 && hf.stops[0] == 200002, "eos");
    gptoss_config openai =
        parsed("{\"num_hidden_layers\":24,\"num_experts\":32,\"experts_per_token\":4,"
               "\"vocab_size\":201088,\"hidden_size\":2880,\"intermediate_size\":2880,"
               "\"swiglu_limit\":7.0,\"head_dim\":64,\"num_attention_heads\":64,"
               "\"num_key_value_heads\":8,\"sliding_window\":128,\"initial_context_length\":4096,"
               "\"rope_theta\":150000,\"rope_scaling_factor\":32.0,\"rope_ntk_alpha\":1,"
               "\"rope_ntk_beta\":32,\"unknown\":[1]}");
    CHECK(openai.layers == 24 && openai.experts == 32 && openai.context == 131072, "original");
    CHECK(openai.rope.beta_fast == 32.0 && openai.rope.beta_slow == 1.0, "betas");
}

#define HF(members)     "{\"model_type\":\"gpt_oss\"," members "}"
#define ROPE(members)   HF("\"rope_scaling\":{" members "}")
#define OPENAI(members) "{\"num_hidden_layers\":4," members "}"

static void test_rope(void)
{
    gptoss_config c = parsed(ROPE("\"rope_type\":\"yarn\",\"factor\":8"));
    CHECK(c.rope.yarn && c.rope.truncate, "a dict without truncate rounds");
    CHECK(c.rope.original_context == 131072.0, "a dict without pivot takes the context");
    CHECK(c.rope.factor == 8.0 && NEAR(c.rope.attention_factor, 1.2079441541679836), "factor 8");
    c = parsed(ROPE("\"type\":\"yarn\",\"factor\":2,\"truncate\":null"));
    CHECK(c.rope.yarn && !c.rope.truncate, "the old key, and a null truncate");
    c = parsed(ROPE("\"rope_type\":\"yarn\",\"factor\":null,"
                    "\"original_max_position_embeddings\":8192"));
    CHECK(c.rope.factor == 16.0, "a null factor is the ratio, not %g", c.rope.factor);
    c = parsed(ROPE("\"rope_type\":\"yarn\",\"factor\":4,"
                    "\"original_max_position_embeddings\":4096"));
    CHECK(c.rope.factor == 4.0, "a factor counts even when the ratio differs");
    c = parsed(ROPE("\"rope_type\":\"yarn\",\"factor\":4,\"attention_factor\":1.5"));
    CHECK(c.rope.attention_factor == 1.5, "attention_factor");
    c = parsed(ROPE("\"rope_type\":\"yarn\",\"factor\":4,\"beta_fast\":0,\"beta_slow\":null"));
    CHECK(c.rope.beta_fast == 32.0 && c.rope.beta_slow == 1.0, "betas not given");
    c = parsed(HF("\"rope_theta\":10000,\"rope_scaling\":{\"rope_type\":\"default\"}"));
    CHECK(!c.rope.yarn && c.rope.theta == 10000.0 && c.rope.attention_factor == 1.0, "plain");
    c = parsed(HF("\"rope_parameters\":{\"rope_theta\":5e5,\"rope_type\":\"yarn\",\"factor\":16,"
                  "\"original_max_position_embeddings\":4096,\"truncate\":false}"));
    CHECK(c.rope.yarn && c.rope.theta == 5e5 && c.rope.factor == 16.0 && !c.rope.truncate,
          "transformers 5");
    c = parsed(HF("\"rope_theta\":1e4,\"rope_parameters\":{\"rope_theta\":5e5}"));
    CHECK(c.rope.theta == 5e5 && !c.rope.yarn, "the dict's theta counts");
    c = parsed(HF("\"rope_theta\":1e4"));
    CHECK(c.rope.theta == 1e4 && c.rope.yarn && !c.rope.truncate, "theta beside a missing dict");
    c = parsed(HF("\"rope_scaling\":{},\"rope_theta\":1e4"));
    CHECK(c.rope.yarn && !c.rope.truncate, "an empty rope_scaling is a missing one");
    c = parsed(HF("\"original_max_position_embeddings\":2048,\"rope_scaling\":{"
                  "\"rope_type\":\"yarn\",\"factor\":2,"
                  "\"original_max_position_embeddings\":4096}"));
    CHECK(c.rope.original_context == 2048.0, "the pivot beside the dict counts");
    c = parsed(OPENAI("\"rope_scaling_factor\":1.0"));
    CHECK(!c.rope.yarn && c.context == 4096 && c.rope.attention_factor == 1.0, "original, plain");
    c = parsed(OPENAI("\"rope_scaling_factor\":0.5"));
    CHECK(!c.rope.yarn && c.context == 4096, "original, below 1");
    c = parsed(OPENAI("\"initial_context_length\":100,\"rope_scaling_factor\":2.5"));
    CHECK(c.rope.yarn && c.context == 250 && c.rope.original_context == 100.0, "original");
}

static void test_shapes(void)
{
    gptoss_config c = parsed(HF("\"hidden_size\":256,\"num_attention_heads\":8"));
    CHECK(c.head_dim == 64, "a missing head_dim is 64, not hidden / heads");
    c = parsed(HF("\"hidden_size\":256,\"num_attention_heads\":8,\"head_dim\":null"));
    CHECK(c.head_dim == 32, "a null head_dim is hidden / heads, not %u", c.head_dim);
    c = parsed(HF("\"num_attention_heads\":16,\"num_key_value_heads\":null"));
    CHECK(c.kv_heads == 16, "null kv heads");
    c = parsed(HF("\"num_experts\":8"));
    CHECK(c.experts == 8, "alias");
    c = parsed(HF("\"experts_per_token\":2"));
    CHECK(c.experts_per_token == 2, "left-over key alone");
    c = parsed(HF("\"experts_per_token\":2,\"num_experts_per_tok\":3"));
    CHECK(c.experts_per_token == 3, "the key that transformers reads");
    c = parsed(HF("\"hidden_size\":2880.0,\"rms_norm_eps\":1,\"swiglu_limit\":5,"
                  "\"swiglu_alpha\":1.5"));
    CHECK(c.hidden == 2880 && c.norm_eps == 1.0F && c.swiglu_limit == 5.0F, "ints and floats");
    CHECK(c.swiglu_alpha == 1.5F, "alpha");
    c = parsed(HF("\"tie_word_embeddings\":true,\"attention_bias\":false,\"hidden_act\":\"gelu\""));
    CHECK(c.tied_embeddings && !c.attention_bias, "flags");
    c = parsed(HF("\"num_hidden_layers\":3,\"sliding_window\":null,\"layer_types\":"
                  "[\"full_attention\",\"full_attention\",\"full_attention\"]"));
    CHECK(!c.sliding[0] && !c.sliding[1] && !c.sliding[2] && c.window == c.context, "no window");
    c = parsed(HF("\"num_hidden_layers\":3,\"sliding_window\":7,\"layer_types\":"
                  "[\"full_attention\",\"sliding_attention\",\"sliding_attention\"]"));
    CHECK(!c.sliding[0] && c.sliding[1] && c.sliding[2] && c.window == 7, "any pattern");
    c = parsed(OPENAI("\"sliding_window\":0"));
    CHECK(!c.sliding[0] && c.window == c.context, "original, no window");
    c = parsed(OPENAI("\"sliding_window\":16"));
    CHECK(c.sliding[0] && !c.sliding[1] && c.sliding[2] && c.window == 16, "original, even layers");
    c = parsed(HF("\"eos_token_id\":[5,7,5]"));
    CHECK(c.stop_count == 2 && c.stops[0] == 5 && c.stops[1] == 7, "eos list without repetition");
}

static const struct {
    const char *text;
    gptoss_status status;
    const char *sentence;
} refused[] = {
    {"[]", GPTOSS_FORMAT, "C should be a JSON object"},
    {"{}", GPTOSS_FORMAT, "C describes no model"},
    {"{\"model_type\":\"llama\"}", GPTOSS_UNSUPPORTED,
     "C: model_type should be \"gpt_oss\" but is \"llama\""},
    {"{\"architectures\":[\"GptOssForSequenceClassification\"]}", GPTOSS_UNSUPPORTED,
     "C: architectures should be [\"GptOssForCausalLM\"] but begins with "
     "\"GptOssForSequenceClassification\""},
    {OPENAI("\"rope_scaling\":{\"rope_type\":\"default\"}"), GPTOSS_FORMAT,
     "C: neither model_type nor architectures says which model this is"},
    {"{\"rms_norm_eps\":1e-5}", GPTOSS_FORMAT,
     "C: neither model_type nor architectures says which model this is"},
    {HF("\"quantization_config\":{\"quant_method\":\"gptq\"}"), GPTOSS_UNSUPPORTED,
     "C: weights quantised with \"gptq\" are not supported"},
    {HF("\"num_hidden_layers\":0"), GPTOSS_FORMAT,
     "C: num_hidden_layers should be a whole number from 1 to 1024 but is 0"},
    {HF("\"num_hidden_layers\":1025"), GPTOSS_FORMAT, "but is 1025"},
    {HF("\"hidden_size\":28.5"), GPTOSS_FORMAT,
     "C: hidden_size should be a whole number from 1 to 1048576 but is 28.5"},
    {HF("\"hidden_size\":-2880"), GPTOSS_FORMAT, "but is -2880"},
    {HF("\"hidden_size\":1e300"), GPTOSS_FORMAT, "hidden_size should be"},
    {HF("\"hidden_size\":\"2880\""), GPTOSS_FORMAT, "but is \"2880\""},
    {HF("\"hidden_size\":[2880]"), GPTOSS_FORMAT, "but is an array of 1"},
    {HF("\"hidden_size\":{}"), GPTOSS_FORMAT, "but is an object"},
    {HF("\"hidden_size\":true"), GPTOSS_FORMAT, "but is true"},
    {HF("\"vocab_size\":16777217"), GPTOSS_FORMAT, "vocab_size should be"},
    {HF("\"num_attention_heads\":12"), GPTOSS_FORMAT,
     "C: num_attention_heads should be a multiple of num_key_value_heads, 8, but is 12"},
    {HF("\"head_dim\":5"), GPTOSS_FORMAT, "C: head_dim should be an even number above 0 but is 5"},
    {HF("\"head_dim\":null,\"hidden_size\":32"), GPTOSS_FORMAT, "above 0 but is 0"},
    {HF("\"head_dim\":32768"), GPTOSS_LIMIT,
     "C: num_attention_heads * head_dim should be at most 1048576 but is 2097152"},
    {HF("\"num_local_experts\":4,\"num_experts_per_tok\":5"), GPTOSS_FORMAT,
     "C: experts per token should be at most the number of experts, 4, but is 5"},
    {HF("\"num_local_experts\":4,\"num_experts\":8"), GPTOSS_FORMAT,
     "C: num_local_experts is 4, but its other name num_experts is 8"},
    {HF("\"num_local_experts\":4097"), GPTOSS_FORMAT, "from 1 to 4096 but is 4097"},
    {HF("\"rms_norm_eps\":-1"), GPTOSS_FORMAT,
     "C: rms_norm_eps should be a number from 0 to 1 but is -1"},
    {HF("\"rms_norm_eps\":1e999"), GPTOSS_FORMAT, "but is inf"},
    {HF("\"swiglu_limit\":0"), GPTOSS_FORMAT, "C: swiglu_limit should be a number from 1e-06"},
    {HF("\"tie_word_embeddings\":1"), GPTOSS_FORMAT,
     "C: tie_word_embeddings should be true or false but is 1"},
    {HF("\"model_type\":7"), GPTOSS_FORMAT, "C: model_type should be a string but is 7"},
    {HF("\"layer_types\":[\"full_attention\"]"), GPTOSS_FORMAT,
     "C: layer_types should be an array of 36 (one per layer) but is an array of 1"},
    {HF("\"num_hidden_layers\":1,\"layer_types\":[\"chunked_attention\"]"), GPTOSS_FORMAT,
     "C: layer_types should be full_attention or sliding_attention but is \"chunked_attention\""},
    {HF("\"num_hidden_layers\":1,\"layer_types\":[1]"), GPTOSS_FORMAT, "but is 1"},
    {HF("\"sliding_window\":0"), GPTOSS_FORMAT,
     "C: sliding_window should be a whole number from 1 to 2147483647 but is 0"},
    {HF("\"sliding_window\":null"), GPTOSS_FORMAT,
     "C: sliding_window is null, but layer_types has sliding_attention"},
    {HF("\"eos_token_id\":-1"), GPTOSS_FORMAT,
     "C: eos_token_id should be a token id or a list of token ids but is -1"},
    {HF("\"eos_token_id\":[1,\"2\"]"), GPTOSS_FORMAT, "but is \"2\""},
    {HF("\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"), GPTOSS_LIMIT,
     "C: more than 16 different eos_token_id"},
    {HF("\"max_position_embeddings\":16777217"), GPTOSS_FORMAT, "max_position_embeddings should"},
    {HF("\"rope_scaling\":\"yarn\""), GPTOSS_FORMAT,
     "C: rope_scaling should be an object but is \"yarn\""},
    {ROPE("\"rope_type\":\"linear\",\"factor\":2"), GPTOSS_UNSUPPORTED,
     "C: rope_scaling: rope_type \"linear\" is not supported; yarn and default are"},
    {ROPE("\"rope_type\":\"yarn\",\"mscale\":1"), GPTOSS_UNSUPPORTED,
     "C: rope_scaling: mscale is not supported; attention_factor is"},
    {ROPE("\"rope_type\":\"yarn\",\"mscale_all_dim\":1"), GPTOSS_UNSUPPORTED,
     "C: rope_scaling: mscale_all_dim is not supported"},
    {ROPE("\"rope_type\":\"yarn\",\"partial_rotary_factor\":0.5"), GPTOSS_UNSUPPORTED,
     "C: rope_scaling: partial_rotary_factor other than 1 is not supported"},
    {HF("\"partial_rotary_factor\":0.5"), GPTOSS_UNSUPPORTED, "C: partial_rotary_factor other"},
    {HF("\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"yarn\"}}"), GPTOSS_UNSUPPORTED,
     "C: rope_parameters: a rotary embedding of its own for full_attention is not supported"},
    {ROPE("\"rope_type\":\"yarn\",\"factor\":0.5"), GPTOSS_FORMAT,
     "C: rope_scaling: factor should be a number from 1 to 1e+06 but is 0.5"},
    {HF("\"max_position_embeddings\":1024,\"rope_scaling\":{\"rope_type\":\"yarn\","
        "\"original_max_position_embeddings\":4096}"),
     GPTOSS_FORMAT, "C: rope_scaling: factor should be at least 1 but is 0.25"},
    {ROPE("\"rope_type\":\"yarn\",\"factor\":2,\"beta_fast\":1,\"beta_slow\":2"), GPTOSS_FORMAT,
     "C: rope_scaling: beta_fast should be at least beta_slow, 2, but is 1"},
    {HF("\"rope_theta\":1"), GPTOSS_FORMAT, "C: rope_theta should be a number from 2 to 1e+15"},
    {ROPE("\"rope_theta\":\"1e4\""), GPTOSS_FORMAT, "C: rope_scaling: rope_theta should be"},
    {OPENAI("\"rope_ntk_beta\":1,\"rope_ntk_alpha\":2"), GPTOSS_FORMAT,
     "C: rope_ntk_beta should be at least rope_ntk_alpha, 2, but is 1"},
    {OPENAI("\"rope_scaling_factor\":100000"), GPTOSS_LIMIT,
     "C: initial_context_length * rope_scaling_factor should be at most 16777216 but is "
     "409600000"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        gptoss_error error;
        static gptoss_config config;
        gptoss_status status = parse(refused[i].text, &config, &error);
        CHECK(status == refused[i].status, "%s: status %d, %s", refused[i].text, status,
              error.message);
        CHECK(strstr(error.message, refused[i].sentence) != NULL, "%s: %s", refused[i].text,
              error.message);
    }
}

static void test_load(void)
{
    static gptoss_config config;
    gptoss_error error = {0};
    const char *directory = scratch_path("model");
    mkdir(directory, 0777);
    CHECK(config_load(directory, &config, &error) == GPTOSS_IO, "no config.json");
    CHECK(strstr(error.message, "has no config.json") != NULL, "%s", error.message);
    scratch_write(scratch_path("model/config.json"), HF("\"eos_token_id\":200002"));
    CHECK(config_load(directory, &config, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(config.stop_count == 1, "no generation_config.json");
    scratch_write(scratch_path("model/generation_config.json"),
                  "{\"eos_token_id\":[200002,199999,200012]}");
    CHECK(config_load(directory, &config, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(config.stop_count == 3 && config.stops[0] == 200002 && config.stops[1] == 199999 &&
              config.stops[2] == 200012,
          "%u stops", config.stop_count);
    CHECK(config.sampling.temperature == 1.0F && config.sampling.top_k == 0 &&
              config.sampling.top_p == 1.0F && config.sampling.min_p == 0.0F,
          "temperature %g without a key", (double)config.sampling.temperature);
    scratch_write(scratch_path("model/generation_config.json"), "{\"eos_token_id\":\"x\"}");
    CHECK(config_load(directory, &config, &error) == GPTOSS_FORMAT, "bad eos");
    CHECK(strstr(error.message, "generation_config.json: eos_token_id should be") != NULL, "%s",
          error.message);
    scratch_write(scratch_path("model/generation_config.json"), "{");
    CHECK(config_load(directory, &config, &error) == GPTOSS_FORMAT, "bad JSON");
    CHECK(strstr(error.message, "generation_config.json is not valid JSON") != NULL, "%s",
          error.message);
    scratch_write(scratch_path("model/config.json"), "");
    CHECK(config_load(directory, &config, &error) == GPTOSS_FORMAT, "empty");
    CHECK(strstr(error.message, "config.json is not valid JSON: the text ends at byte 0") != NULL,
          "%s", error.message);
}

static void test_sampling(void)
{
    static const struct {
        const char *text;
        gptoss_sampling expected;
    } good[] = {
        {"{}", {1.0F, 0, 1.0F, 0.0F, 0}},
        {"{\"do_sample\":true}", {1.0F, 0, 1.0F, 0.0F, 0}},
        {"{\"do_sample\":false,\"temperature\":0.7}", {0.0F, 0, 1.0F, 0.0F, 0}},
        {"{\"temperature\":0.5,\"top_k\":50,\"top_p\":0.25,\"min_p\":0.125}",
         {0.5F, 50, 0.25F, 0.125F, 0}},
        {"{\"temperature\":null,\"top_k\":null}", {1.0F, 0, 1.0F, 0.0F, 0}},
    };
    static const char *const bad[] = {
        "{\"temperature\":-1}", "{\"top_k\":1.5}",   "{\"top_p\":2}",
        "{\"min_p\":\"x\"}",    "{\"do_sample\":1}", "{\"top_p\":0}",
    };
    static gptoss_config config;
    gptoss_error error;
    scratch_write(scratch_path("sampling/config.json"), HF("\"eos_token_id\":200002"));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        scratch_write(scratch_path("sampling/generation_config.json"), good[i].text);
        CHECK(config_load(scratch_path("sampling"), &config, &error) == GPTOSS_OK, "%s",
              error.message);
        const gptoss_sampling *found = &config.sampling;
        const gptoss_sampling *expected = &good[i].expected;
        CHECK(found->temperature == expected->temperature && found->top_k == expected->top_k &&
                  found->top_p == expected->top_p && found->min_p == expected->min_p,
              "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        scratch_write(scratch_path("sampling/generation_config.json"), bad[i]);
        CHECK(config_load(scratch_path("sampling"), &config, &error) == GPTOSS_FORMAT, "%s",
              bad[i]);
    }
}

int main(void)
{
    scratch_begin();
    test_defaults();
    test_published();
    test_rope();
    test_shapes();
    test_refused();
    test_load();
    test_sampling();
    return test_result();
}
