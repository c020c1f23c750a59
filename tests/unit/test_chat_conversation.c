/* The list of a chat's messages: growing, taking back, dropping. */
#include "../../tools/gptoss/chat_conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "check.h"

#define NONE ((gptoss_text){NULL, 0})

static gptoss_text text_of(const char *text)
{
    return (gptoss_text){text, text == NULL ? 0 : strlen(text)};
}

/* s, d, u, a, t for the role, with the text of the first content behind it. */
static void add(conversation *talk, const char *spelled)
{
    static const char roles[] = "ausdt";
    gptoss_role role = (gptoss_role)(strchr(roles, spelled[0]) - roles);
    conversation_add_text(talk, role, role == GPTOSS_ROLE_TOOL ? text_of("functions.f") : NONE,
                          NONE, NONE, text_of(spelled + 1));
}

static conversation make(const char *words)
{
    conversation talk = {NULL};
    char copy[256];
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        add(&talk, word);
    return talk;
}

static void check_is(const conversation *talk, const char *words, const char *what)
{
    static const char roles[] = "ausdt";
    text_buffer out = {0};
    text_append(&out, "%s", "");
    for (size_t i = 0; i < talk->count; i++)
        text_append(&out, "%s%c%.*s", i > 0 ? " " : "", roles[talk->messages[i].role],
                    (int)talk->messages[i].content->text.length,
                    talk->messages[i].content->text.data);
    CHECK(strcmp(out.bytes, words) == 0, "%s: %s, expected %s", what, out.bytes, words);
    text_free(&out);
}

static void check_looking(void)
{
    static const struct {
        const char *words;
        size_t head, turns, last;
    } cases[] = {
        {"", 0, 0, 0},    {"s", 1, 0, 1},           {"s d u", 2, 1, 2}, {"s d u a u a", 2, 2, 4},
        {"u a", 0, 1, 0}, {"s a u t u d", 1, 2, 4}, {"s a", 1, 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conversation talk = make(cases[i].words);
        CHECK(conversation_head(&talk) == cases[i].head, "%s", cases[i].words);
        CHECK(conversation_turns(&talk) == cases[i].turns, "%s", cases[i].words);
        CHECK(conversation_last_turn(&talk) == cases[i].last, "%s", cases[i].words);
        conversation_free(&talk);
    }
}

static void check_dropping(void)
{
    static const struct {
        const char *words;
        size_t gone;
        const char *left;
    } cases[] = {
        {"s d u1 a1 u2 a2", 2, "s d u2 a2"},
        {"s d u1 a1 a2 t a3 u2", 5, "s d u2"},
        {"s d u1", 0, "s d u1"},
        {"s d", 0, "s d"},
        {"", 0, ""},
        {"s a0 u1 a1", 1, "s u1 a1"},       /* what is before the first turn */
        {"s a0 u1 a1 u2", 3, "s u2"},       /* goes with it */
        {"u1 u2 u3", 1, "u2 u3"},           /* without a head, and without answers */
        {"s u1 d1 a1 u2 d2", 3, "s u2 d2"}, /* later ones are part of a turn */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conversation talk = make(cases[i].words);
        size_t gone = conversation_drop_oldest(&talk);
        CHECK(gone == cases[i].gone, "%s: %zu", cases[i].words, gone);
        check_is(&talk, cases[i].left, cases[i].words);
        conversation_free(&talk);
    }
}

static void check_changes(void)
{
    conversation talk = make("s u1 a1 u2 a2");
    conversation other = {NULL};
    gptoss_content content = {.text = text_of("x")};
    gptoss_message message = {
        .role = GPTOSS_ROLE_DEVELOPER, .content = &content, .content_count = 1};
    conversation_insert(&talk, 1, &message);
    check_is(&talk, "s dx u1 a1 u2 a2", "insert");
    content.text = text_of("y");
    check_is(&talk, "s dx u1 a1 u2 a2", "the copy is its own");
    conversation_replace(&talk, 1, &message);
    check_is(&talk, "s dy u1 a1 u2 a2", "replace");
    conversation_extend(&talk, text_of(" more"));
    check_is(&talk, "s dy u1 a1 u2 a2 more", "extend");
    conversation_move(&talk, 4, &other);
    check_is(&talk, "s dy u1 a1", "moved from");
    check_is(&other, "u2 a2 more", "moved to");
    conversation_move(&other, 0, &talk);
    check_is(&talk, "s dy u1 a1 u2 a2 more", "and back");
    conversation_cut(&talk, 2);
    check_is(&talk, "s dy", "cut");
    for (int i = 0; i < 100; i++)
        conversation_insert(&talk, 0, &message);
    CHECK(talk.count == 102 && talk.messages[101].role == GPTOSS_ROLE_DEVELOPER, "%zu", talk.count);
    conversation_free(&talk);
    conversation_free(&other);
    CHECK(talk.count == 0 && talk.messages == NULL, "freed");
}

/* Everything that a message can point to is copied. */
static void check_copies(void)
{
    char name[] = "get", schema[] = "{}", channel[] = "final", empty[] = "";
    gptoss_tool tool = {{name, 3}, {empty, 0}, {schema, 2}};
    gptoss_tool_namespace space = {{name, 3}, NONE, &tool, 1};
    gptoss_text channels[] = {{channel, 5}, {name, 3}};
    gptoss_content contents[3] = {{.kind = GPTOSS_CONTENT_SYSTEM},
                                  {.kind = GPTOSS_CONTENT_DEVELOPER}};
    contents[0].system = (gptoss_system_content){.identity = {name, 3},
                                                 .effort = GPTOSS_EFFORT_HIGH,
                                                 .channels = channels,
                                                 .channel_count = 2,
                                                 .channel_required = true,
                                                 .namespaces = &space,
                                                 .namespace_count = 1};
    contents[1].developer = (gptoss_developer_content){{schema, 2}, &space, 1};
    contents[2].text = (gptoss_text){empty, 0};
    gptoss_message message = {.role = GPTOSS_ROLE_SYSTEM,
                              .name = {name, 3},
                              .channel = {channel, 5},
                              .content = contents,
                              .content_count = 3};
    conversation talk = {NULL};
    conversation_add(&talk, &message);
    memset(name, '#', 3);
    memset(schema, '#', 2);
    memset(channel, '#', 5);
    const gptoss_message *copy = &talk.messages[0];
    const gptoss_system_content *system = &copy->content[0].system;
    const gptoss_developer_content *developer = &copy->content[1].developer;
    CHECK(message_text_is(copy->name, "get") && message_text_is(copy->channel, "final"), "fields");
    CHECK(copy->recipient.data == NULL && copy->content_count == 3, "what there is not");
    CHECK(message_text_is(system->identity, "get") && system->date.data == NULL &&
              system->effort == GPTOSS_EFFORT_HIGH && system->channel_required,
          "system");
    CHECK(message_text_is(system->channels[0], "final") &&
              message_text_is(system->channels[1], "get"),
          "channels");
    CHECK(system->namespaces != developer->namespaces &&
              message_text_is(system->namespaces[0].tools[0].parameters, "{}"),
          "tools");
    CHECK(message_text_is(developer->namespaces[0].tools[0].name, "get") &&
              message_text_is(developer->namespaces[0].tools[0].description, ""),
          "tools of the developer's");
    CHECK(message_text_is(developer->instructions, "{}"), "instructions");
    CHECK(message_text_is(copy->content[2].text, ""), "an empty text is not none");
    conversation_free(&talk);
}

static void check_parts(void)
{
    static const struct {
        const char *recipient;
        const char *channel;
        message_part part;
    } cases[] = {
        {NULL, NULL, PART_ANSWER},         {NULL, "final", PART_ANSWER},
        {NULL, "analysis", PART_THINKING}, {NULL, "commentary", PART_COMMENTARY},
        {NULL, "other", PART_COMMENTARY},  {"functions.f", "commentary", PART_CALL},
        {"python", "analysis", PART_CALL}, {"all", "final", PART_ANSWER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gptoss_message message = {.recipient = text_of(cases[i].recipient),
                                  .channel = text_of(cases[i].channel)};
        CHECK(message_part_of(&message) == cases[i].part, "case %zu", i);
    }
}

int main(void)
{
    check_looking();
    check_dropping();
    check_changes();
    check_copies();
    check_parts();
    return test_result();
}
