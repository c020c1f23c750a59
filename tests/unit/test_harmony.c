/* Rendering by the structures of the public header: histories, endings, contents, tools. */
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "check.h"
#include "gptoss.h"

#define TEXT_OF(literal) ((gptoss_text){(literal), sizeof(literal) - 1})

static gptoss_tokenizer *tokenizer;

/* The tokens' names and texts, in one string for free(); NULL when it is refused. */
static char *rendered(const gptoss_message *messages, size_t count,
                      const gptoss_render_options *options, gptoss_error *error)
{
    uint32_t *ids;
    size_t id_count;
    text_buffer out = {0};
    if (gptoss_render(tokenizer, messages, count, options, &ids, &id_count, error) != GPTOSS_OK)
        return NULL;
    text_append(&out, "%s", "");
    for (size_t i = 0; i < id_count; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, ids[i], &length);
        text_append_bytes(&out, bytes, length);
    }
    free(ids);
    return out.bytes;
}

static void check_render(const gptoss_message *messages, size_t count,
                         const gptoss_render_options *options, const char *expected)
{
    gptoss_error error = {.message = ""};
    char *found = rendered(messages, count, options, &error);
    CHECK(found != NULL && strcmp(found, expected) == 0, "found %s (%s), expected %s", found,
          error.message, expected);
    free(found);
}

/* ---- histories ------------------------------------------------------------------------------- */

/* A conversation by letters: user, analysis, call, tool's result, final. */
static size_t spell(const char *letters, gptoss_message *out)
{
    static gptoss_content contents[32];
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        char letter = letters[i];
        contents[i] = (gptoss_content){.text = {&letters[i], 1}};
        out[i] = (gptoss_message){.content = &contents[i], .content_count = 1};
        if (letter == 'u')
            out[i].role = GPTOSS_ROLE_USER;
        else if (letter == 'a')
            out[i].channel = TEXT_OF("analysis");
        else if (letter == 'f')
            out[i].channel = TEXT_OF("final");
        else
            out[i].channel = TEXT_OF("commentary");
        if (letter == 't') {
            out[i].role = GPTOSS_ROLE_TOOL;
            out[i].name = TEXT_OF("x");
        }
    }
    return count;
}

/* Which messages are left. */
static void check_history(gptoss_history history, const char *letters, const char *expected)
{
    gptoss_message messages[32];
    gptoss_render_options options = {.history = history, .ending = GPTOSS_ENDING_NONE};
    size_t count = spell(letters, messages);
    char left[33] = "";
    size_t length = 0;
    char *text = rendered(messages, count, &options, NULL);
    for (const char *at = text; at != NULL && (at = strstr(at, "<|message|>")) != NULL; at++)
        left[length++] = at[strlen("<|message|>")];
    left[length] = '\0';
    CHECK(strcmp(left, expected) == 0, "%s: left %s, expected %s", letters, left, expected);
    free(text);
}

static void check_histories(void)
{
    static const struct {
        const char *all;
        const char *harmony;
        const char *turns;
    } cases[] = {
        {"", "", ""},
        {"u", "u", "u"},
        {"uaf", "uf", "uaf"},
        {"uafu", "ufu", "ufu"},
        {"uafuaf", "ufuaf", "ufuaf"},
        {"uafuafu", "ufuafu", "ufufu"},
        {"uact", "uact", "uact"},
        {"uactactf", "uctctf", "uactactf"},
        {"uactactfu", "uctctfu", "uctctfu"},
        {"uafuact", "uafuact", "ufuact"},
        {"uau", "uau", "uau"}, /* interrupted: no turn was completed */
        {"uafuau", "uafuau", "ufuau"},
        {"afaf", "faf", "afaf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_history(GPTOSS_HISTORY_ALL, cases[i].all, cases[i].all);
        check_history(GPTOSS_HISTORY_HARMONY, cases[i].all, cases[i].harmony);
        check_history(GPTOSS_HISTORY_TURNS, cases[i].all, cases[i].turns);
    }
}

static void check_endings(void)
{
    gptoss_message messages[2];
    size_t count = spell("uf", messages);
    gptoss_render_options options = {.ending = GPTOSS_ENDING_TRAINING};
    check_render(messages, count, NULL,
                 "<|start|>user<|message|>u<|end|><|start|>assistant<|channel|>final<|message|>f"
                 "<|end|><|start|>assistant");
    check_render(messages, count, &options,
                 "<|start|>user<|message|>u<|end|><|start|>assistant<|channel|>final<|message|>f"
                 "<|return|>");
    check_render(messages, 1, &options, "<|start|>user<|message|>u<|end|>");
    check_render(NULL, 0, &options, "");
    options = (gptoss_render_options){.next_role = GPTOSS_ROLE_DEVELOPER};
    check_render(NULL, 0, &options, "<|start|>developer");
}

/* ---- contents -------------------------------------------------------------------------------- */

static void check_contents(void)
{
    gptoss_render_options options = {.ending = GPTOSS_ENDING_NONE};
    gptoss_content content = {.kind = GPTOSS_CONTENT_SYSTEM, .system = gptoss_system_defaults()};
    gptoss_message message = {.role = GPTOSS_ROLE_SYSTEM, .content = &content, .content_count = 1};
    check_render(&message, 1, &options,
                 "<|start|>system<|message|>You are ChatGPT, a large language model trained by "
                 "OpenAI.\nKnowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: "
                 "analysis, commentary, final. Channel must be included for every message.<|end|>");
    content.system =
        (gptoss_system_content){.namespaces = gptoss_python_tool(), .namespace_count = 1};
    char *python = rendered(&message, 1, &options, NULL);
    CHECK(python != NULL &&
              strncmp(python, "<|start|>system<|message|># Tools\n\n## python\n\nUse", 45) == 0,
          "%s", python);
    free(python);
    content.system = (gptoss_system_content){.date = TEXT_OF("")};
    check_render(&message, 1, &options, "<|start|>system<|message|>Current date: <|end|>");
    content = (gptoss_content){.kind = GPTOSS_CONTENT_DEVELOPER,
                               .developer = {.instructions = TEXT_OF("Hi")}};
    message.role = GPTOSS_ROLE_DEVELOPER;
    check_render(&message, 1, &options, "<|start|>developer<|message|># Instructions\n\nHi<|end|>");
}

static void check_headers(void)
{
    gptoss_render_options options = {.ending = GPTOSS_ENDING_NONE};
    gptoss_message message = {.name = TEXT_OF("bob"), .recipient = TEXT_OF("all")};
    check_render(&message, 1, &options, "<|start|>assistant:bob<|message|><|call|>");
    message.recipient = TEXT_OF("");
    message.content_type = TEXT_OF("<|constrain|>");
    check_render(&message, 1, &options,
                 "<|start|>assistant:bob to= <|constrain|><|message|><|call|>");
    message.role = GPTOSS_ROLE_TOOL;
    check_render(&message, 1, &options, "<|start|>bob to= <|constrain|><|message|><|end|>");
}

static void check_refused(void)
{
    gptoss_error error;
    gptoss_content content = {.kind = GPTOSS_CONTENT_DEVELOPER};
    gptoss_message message = {.role = GPTOSS_ROLE_TOOL};
    CHECK(rendered(&message, 1, NULL, &error) == NULL && error.status == GPTOSS_FORMAT,
          "a tool without a name");
    message = (gptoss_message){.content = &content, .content_count = 1};
    CHECK(rendered(&message, 1, NULL, &error) == NULL && error.status == GPTOSS_FORMAT,
          "a developer's content in a message of the assistant's");
    gptoss_tool tool = {TEXT_OF("f"), TEXT_OF(""), TEXT_OF("{")};
    gptoss_tool_namespace space = {TEXT_OF("n"), {NULL, 0}, &tool, 1};
    content.developer = (gptoss_developer_content){{NULL, 0}, &space, 1};
    message.role = GPTOSS_ROLE_DEVELOPER;
    CHECK(rendered(&message, 1, NULL, &error) == NULL && error.status == GPTOSS_FORMAT &&
              strstr(error.message, "the schema of the function f") != NULL,
          "%s", error.message);
}

int main(void)
{
    gptoss_tokenizer_open(GPTOSS_SOURCE_DIR "/tests/cli/data/tokenizer.json", &tokenizer, NULL);
    CHECK(tokenizer != NULL, "there is no tokenizer");
    if (tokenizer == NULL)
        return test_result();
    check_histories();
    check_endings();
    check_contents();
    check_headers();
    check_refused();
    gptoss_tokenizer_close(tokenizer);
    return test_result();
}
