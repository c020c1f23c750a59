/*
 * script_model DIRECTORY TOKENIZER <RULES: writes a checkpoint that says what it is told, whatever
 * the sampling, so that tests of conversations know what comes. TOKENIZER is a tokenizer.json in
 * which words of the rules that are no tokens are added as such.
 *
 * A rule is a line of tokens; each is followed by the next one:
 *
 *     assistant <|channel|> analysis <|message|> _I _think <|end|> <|start|> assistant
 *     if _think: <|channel|> final <|message|>
 *
 * With `if`, the first token is followed by the second when the word is among the last WINDOW
 * tokens. That goes before what is said without `if`, where the first rule for a token counts; of
 * several with `if`, the last one does. A _ is a space, \n a line break.
 *
 * The model has one sliding layer. The residual is the token, one-hot, beside which the attention,
 * whose queries are zero, puts the share that each trigger has in the window; the experts are zero.
 * The unembedding has a row for each token that says what it follows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gptoss.h"

enum {
    WINDOW = 8,
    INNER = 32,       /* of the experts */
    TRIGGERS = 64,    /* and the head's width */
    MOST_WORDS = 512, /* that are added */
    CONTEXT = 1 << 17,
    LEAST_WIDTH = 32, /* widths are multiples of it */
};

/* How strongly a token calls for the next one. A trigger adds the last but one to an `if`, and the
 * last for each rule before it. */
#define ALWAYS    160.0F
#define ELSE      60.0F
#define IF        40.0F
#define TRIGGERED 40.0F
#define LATER     0.1F

typedef struct rule {
    uint32_t token, next;
    int trigger; /* -1: none */
} rule;

static struct {
    gptoss_tokenizer *tokenizer;
    uint32_t base;           /* ids of the tokenizer as it was */
    char *words[MOST_WORDS]; /* added behind them */
    uint32_t word_count;
    uint32_t triggers[TRIGGERS];
    int trigger_count;
    rule *rules;
    size_t rule_count;
} script;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "script_model: %s %s\n", what, name);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL)
        die("no memory for", "the model");
    return block;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* The id of a token as the rules spell it. */
static uint32_t find_token(const char *spelled)
{
    char text[256] = "";
    uint32_t id = 0;
    for (const char *at = spelled; *at != '\0'; at++) {
        size_t length = strlen(text);
        bool newline = at[0] == '\\' && at[1] == 'n';
        text[length] = *at == '_' ? ' ' : newline ? '\n' : *at;
        text[length + 1] = '\0';
        at += newline;
    }
    if (gptoss_tokenizer_special(script.tokenizer, text, &id))
        return id;
    for (uint32_t i = 0; i < script.word_count; i++)
        if (strcmp(script.words[i], text) == 0)
            return script.base + i;
    uint32_t *ids;
    size_t count;
    if (gptoss_tokenizer_encode(script.tokenizer, text, strlen(text), false, &ids, &count, NULL) !=
        GPTOSS_OK)
        die("cannot encode", spelled);
    id = ids[0];
    free(ids);
    if (count == 1)
        return id;
    if (script.word_count == MOST_WORDS)
        die("too many words with", spelled);
    script.words[script.word_count] = strdup(text);
    return script.base + script.word_count++;
}

static int find_trigger(uint32_t token)
{
    for (int i = 0; i < script.trigger_count; i++)
        if (script.triggers[i] == token)
            return i;
    if (script.trigger_count == TRIGGERS)
        die("too many", "triggers");
    script.triggers[script.trigger_count] = token;
    return script.trigger_count++;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static void add_rule(rule added)
{
    for (size_t i = 0; i < script.rule_count; i++) /* the first one counts */
        if (script.rules[i].token == added.token && script.rules[i].trigger == added.trigger)
            return;
    script.rules = realloc(script.rules, (script.rule_count + 1) * sizeof *script.rules);
    if (script.rules == NULL)
        die("no memory for", "the rules");
    script.rules[script.rule_count++] = added;
}

static void read_rule(char *line)
{
    int trigger = -1;
    long before = -1;
    char *word = strtok(line, " \n");
    if (word != NULL && strcmp(word, "if") == 0 && (word = strtok(NULL, " :\n")) != NULL) {
        trigger = find_trigger(find_token(word));
        word = strtok(NULL, " \n");
        if (word != NULL && strcmp(word, ":") == 0)
            word = strtok(NULL, " \n");
    }
    for (; word != NULL; word = strtok(NULL, " \n")) {
        uint32_t token = find_token(word);
        if (before >= 0) {
            add_rule((rule){(uint32_t)before, token, trigger});
            trigger = -1;
        }
        before = token;
    }
}

static bool has_if(uint32_t token)
{
    for (size_t i = 0; i < script.rule_count; i++)
        if (script.rules[i].token == token && script.rules[i].trigger >= 0)
            return true;
    return false;
}

/* ---- the checkpoint -------------------------------------------------------------------------- */

static FILE *open_file(const char *directory, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        die(strerror(errno), path);
    return file;
}

static void write_config(const char *directory, uint32_t vocab, uint32_t hidden)
{
    FILE *file = open_file(directory, "config.json");
    fprintf(file,
            "{\"model_type\": \"gpt_oss\", \"vocab_size\": %u, \"hidden_size\": %u, "
            "\"intermediate_size\": %d, \"num_hidden_layers\": 1, \"num_attention_heads\": 1, "
            "\"num_key_value_heads\": 1, \"head_dim\": %d, \"num_local_experts\": 1, "
            "\"num_experts_per_tok\": 1, \"sliding_window\": %d, \"max_position_embeddings\": %d, "
            "\"layer_types\": [\"sliding_attention\"], \"attention_bias\": false, "
            "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000, \"rope_scaling\": null}\n",
            vocab, hidden, INNER, TRIGGERS, WINDOW, CONTEXT);
    fclose(file);
    /* sampled: the tests choose with --temp */
    file = open_file(directory, "generation_config.json");
    fprintf(file, "{\"do_sample\": true, \"temperature\": 1.0}\n");
    fclose(file);
}

typedef struct tensor {
    const char *name;
    uint32_t rank;
    size_t shape[3];
    float *values;
} tensor;

static size_t element_count(const tensor *of)
{
    size_t count = 1;
    for (uint32_t d = 0; d < of->rank; d++)
        count *= of->shape[d];
    return count;
}

static void write_tensors(const char *directory, tensor *tensors, size_t count)
{
    char *header = NULL;
    size_t length, offset = 0;
    FILE *text = open_memstream(&header, &length);
    fprintf(text, "{");
    for (size_t i = 0; i < count; i++) {
        const tensor *t = &tensors[i];
        size_t bytes = element_count(t) * sizeof(float);
        fprintf(text, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i > 0 ? "," : "", t->name);
        for (uint32_t d = 0; d < t->rank; d++)
            fprintf(text, "%s%zu", d > 0 ? "," : "", t->shape[d]);
        fprintf(text, "],\"data_offsets\":[%zu,%zu]}", offset, offset + bytes);
        offset += bytes;
    }
    fprintf(text, "}");
    while (ftell(text) % 8 != 0)
        fputc(' ', text);
    fclose(text);
    FILE *file = open_file(directory, "model.safetensors");
    uint64_t prefix = length;
    fwrite(&prefix, sizeof prefix, 1, file);
    fwrite(header, 1, length, file);
    for (size_t i = 0; i < count; i++)
        fwrite(tensors[i].values, sizeof(float), element_count(&tensors[i]), file);
    if (ferror(file) || fclose(file) != 0)
        die("cannot write", "model.safetensors");
    free(header);
}

/* Fills the tensors in: residual = [one-hot token | shares of the triggers]. */
static void write_weights(const char *directory, uint32_t vocab, uint32_t hidden)
{
    enum { EMBED, HEAD, NORM, NORM_IN, NORM_MLP, Q, K, V, O, SINKS, FIRST_ZERO };
    const char *const layer[] = {"model.layers.0.input_layernorm.weight",
                                 "model.layers.0.post_attention_layernorm.weight"};
    tensor tensors[] = {
        {"model.embed_tokens.weight", 2, {vocab, hidden}, NULL},
        {"lm_head.weight", 2, {vocab, hidden}, NULL},
        {"model.norm.weight", 1, {hidden}, NULL},
        {layer[0], 1, {hidden}, NULL},
        {layer[1], 1, {hidden}, NULL},
        {"model.layers.0.self_attn.q_proj.weight", 2, {TRIGGERS, hidden}, NULL},
        {"model.layers.0.self_attn.k_proj.weight", 2, {TRIGGERS, hidden}, NULL},
        {"model.layers.0.self_attn.v_proj.weight", 2, {TRIGGERS, hidden}, NULL},
        {"model.layers.0.self_attn.o_proj.weight", 2, {hidden, TRIGGERS}, NULL},
        {"model.layers.0.self_attn.sinks", 1, {1}, NULL},
        {"model.layers.0.mlp.router.weight", 2, {1, hidden}, NULL},
        {"model.layers.0.mlp.router.bias", 1, {1}, NULL},
        {"model.layers.0.mlp.experts.gate_up_proj", 3, {1, hidden, 2 * INNER}, NULL},
        {"model.layers.0.mlp.experts.gate_up_proj_bias", 2, {1, 2 * INNER}, NULL},
        {"model.layers.0.mlp.experts.down_proj", 3, {1, INNER, hidden}, NULL},
        {"model.layers.0.mlp.experts.down_proj_bias", 2, {1, hidden}, NULL},
    };
    size_t count = sizeof tensors / sizeof *tensors;
    for (size_t i = 0; i < count; i++)
        tensors[i].values = allocate(element_count(&tensors[i]), sizeof(float));
    for (size_t i = 0; i < hidden; i++)
        for (int norm = NORM; norm <= NORM_MLP; norm++)
            tensors[norm].values[i] = 1.0F;
    for (size_t token = 0; token < vocab; token++)
        tensors[EMBED].values[token * hidden + token] = 1.0F;
    tensors[SINKS].values[0] = -1000.0F; /* it takes no share */
    /* the norm has made a one-hot vector sqrt(hidden) long */
    float root = 1.0F;
    for (int i = 0; i < 20; i++)
        root = (root + (float)hidden / root) / 2.0F;
    size_t shares = hidden - TRIGGERS;
    for (int i = 0; i < script.trigger_count; i++) {
        tensors[V].values[(size_t)i * hidden + script.triggers[i]] = (float)WINDOW / root;
        tensors[O].values[(shares + (size_t)i) * TRIGGERS + (size_t)i] = 1.0F;
    }
    for (size_t i = 0; i < script.rule_count; i++) {
        const rule *r = &script.rules[i];
        float *row = tensors[HEAD].values + r->next * hidden;
        float strength = r->trigger >= 0 ? IF : has_if(r->token) ? ELSE : ALWAYS;
        row[r->token] = row[r->token] > strength ? row[r->token] : strength;
        if (r->trigger >= 0)
            row[shares + (size_t)r->trigger] = TRIGGERED + LATER * (float)i;
    }
    write_tensors(directory, tensors, count);
    for (size_t i = 0; i < count; i++)
        free(tensors[i].values);
}

/* ---- the tokenizer --------------------------------------------------------------------------- */

/* A byte as byte-level tokenizers spell it: printable ones of Latin-1 as they are, the others in
 * turn from U+0100 on. */
static void put_byte(FILE *file, unsigned char byte)
{
    unsigned code = 256;
    for (unsigned other = 0; other <= byte; other++) {
        bool printable = (other > 32 && other < 127) || (other > 160 && other != 173);
        if (other == byte && printable)
            code = byte;
        else if (other < byte && !printable)
            code++;
    }
    if (code == '"' || code == '\\')
        fputc('\\', file);
    if (code < 0x80) {
        fputc((int)code, file);
    } else {
        fputc((int)(0xc0 | code >> 6), file);
        fputc((int)(0x80 | (code & 0x3f)), file);
    }
}

/* The tokenizer with the words at the front of its vocabulary. */
static void write_tokenizer(const char *directory, const char *path)
{
    static char text[1 << 20];
    FILE *from = fopen(path, "rb");
    if (from == NULL)
        die(strerror(errno), path);
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    fclose(from);
    char *vocab = strstr(text, "\"vocab\": {");
    if (vocab == NULL)
        die("no vocabulary in", path);
    vocab += strlen("\"vocab\": {");
    FILE *file = open_file(directory, "tokenizer.json");
    fwrite(text, 1, (size_t)(vocab - text), file);
    for (uint32_t i = 0; i < script.word_count; i++) {
        fputc('"', file);
        for (const char *at = script.words[i]; *at != '\0'; at++)
            put_byte(file, (unsigned char)*at);
        fprintf(file, "\": %u,\n", script.base + i);
    }
    fputs(vocab, file);
    fclose(file);
}

int main(int argc, char **argv)
{
    char line[4096];
    if (argc != 3)
        die("usage:", "script_model DIRECTORY TOKENIZER <RULES");
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST)
        die(strerror(errno), argv[1]);
    if (gptoss_tokenizer_open(argv[2], &script.tokenizer, NULL) != GPTOSS_OK)
        die("no tokenizer:", argv[2]);
    script.base = gptoss_tokenizer_size(script.tokenizer);
    while (fgets(line, sizeof line, stdin) != NULL)
        if (line[0] != '#')
            read_rule(line);
    uint32_t vocab = script.base + script.word_count;
    vocab = (vocab + LEAST_WIDTH - 1) / LEAST_WIDTH * LEAST_WIDTH;
    write_config(argv[1], vocab, vocab + TRIGGERS);
    write_weights(argv[1], vocab, vocab + TRIGGERS);
    write_tokenizer(argv[1], argv[2]);
    for (uint32_t i = 0; i < script.word_count; i++)
        free(script.words[i]);
    free(script.rules);
    gptoss_tokenizer_close(script.tokenizer);
    return 0;
}
