#include "chat_head.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "console.h"
#include "input.h"

static gptoss_text text_of(const char *text)
{
    return (gptoss_text){text, strlen(text)};
}

/* ---- flags ----------------------------------------------------------------------------------- */

int chat_head_read_tools(const options *given, gptoss_tool_list **out)
{
    input_text text;
    gptoss_error error;
    *out = NULL;
    if (given->tools == NULL)
        return EXIT_GOOD;
    int status = input_read(given->tools, &text);
    if (status != EXIT_GOOD)
        return status;
    const char *what = strcmp(given->tools, "-") == 0 ? "standard input" : given->tools;
    if (gptoss_tool_list_read(text.bytes, text.length, what, out, &error) != GPTOSS_OK)
        status = console_error(&error);
    free(text.bytes);
    return status;
}

/* Digits where the pattern has them, and the same characters elsewhere. */
static bool looks_like(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; pattern++, text++)
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    return *text == '\0';
}

static bool is_date(const char *text)
{
    struct tm parts;
    return looks_like(text, "0000-00-00") && strptime(text, "%Y-%m-%d", &parts) != NULL;
}

int chat_head_check(const options *given)
{
    if (strcmp(given->date, "today") == 0 || strcmp(given->date, "none") == 0 ||
        is_date(given->date))
        return EXIT_GOOD;
    return console_usage(given->command,
                         "--date: expected a date such as 2026-11-28, today or none, found \"%s\"",
                         given->date);
}

#define DATE_ROOM 16

static gptoss_text date_asked(const options *given, char room[DATE_ROOM])
{
    time_t now = time(NULL);
    struct tm parts;
    if (strcmp(given->date, "none") == 0)
        return (gptoss_text){NULL, 0};
    if (strcmp(given->date, "today") != 0)
        return text_of(given->date);
    if (localtime_r(&now, &parts) == NULL || strftime(room, DATE_ROOM, "%Y-%m-%d", &parts) == 0)
        return (gptoss_text){NULL, 0};
    return text_of(room);
}

const char *chat_effort_name(gptoss_effort effort)
{
    static const char *const names[] = {"none", "low", "medium", "high"};
    return names[effort];
}

bool chat_effort_find(const char *name, gptoss_effort *out)
{
    for (gptoss_effort effort = GPTOSS_EFFORT_LOW; effort <= GPTOSS_EFFORT_HIGH; effort++)
        if (strcmp(name, chat_effort_name(effort)) == 0) {
            *out = effort;
            return true;
        }
    return false;
}

/* ---- parts of the head ----------------------------------------------------------------------- */

/* Where a content of some kind is; `message` is the count of messages when there is none. */
typedef struct place {
    size_t message;
    size_t content;
} place;

static place find(const conversation *talk, gptoss_content_kind kind)
{
    size_t head = conversation_head(talk);
    for (size_t i = 0; i < head; i++)
        for (size_t k = 0; k < talk->messages[i].content_count; k++)
            if (talk->messages[i].content[k].kind == kind)
                return (place){i, k};
    return (place){talk->count, 0};
}

/* The content there, or `fallback` when there is none. */
static gptoss_content content_at(const conversation *talk, place at, gptoss_content fallback)
{
    return at.message < talk->count ? talk->messages[at.message].content[at.content] : fallback;
}

/* Puts a content at its place, or into a new message at `index` when it has none. */
static void put(conversation *talk, place at, const gptoss_content *content, gptoss_role role,
                size_t index)
{
    if (at.message == talk->count) {
        gptoss_message message = {.role = role, .content = content, .content_count = 1};
        conversation_insert(talk, index, &message);
        return;
    }
    gptoss_message message = talk->messages[at.message];
    gptoss_content *contents = console_resize(NULL, message.content_count, sizeof *message.content);
    memcpy(contents, message.content, message.content_count * sizeof *contents);
    contents[at.content] = *content;
    message.content = contents;
    conversation_replace(talk, at.message, &message);
    free(contents);
}

static void apply_system(conversation *talk, const options *given, bool fresh)
{
    char room[DATE_ROOM];
    place at = find(talk, GPTOSS_CONTENT_SYSTEM);
    gptoss_content content = {.kind = GPTOSS_CONTENT_SYSTEM, .system = gptoss_system_defaults()};
    content = content_at(talk, at, content);
    if (given->given[FLAG_SYSTEM])
        content.system.identity = text_of(given->system);
    if (given->given[FLAG_DATE] || fresh)
        content.system.date = date_asked(given, room);
    if (given->given[FLAG_REASONING] || fresh)
        chat_effort_find(given->reasoning, &content.system.effort);
    if (fresh || given->given[FLAG_SYSTEM] || given->given[FLAG_DATE] ||
        given->given[FLAG_REASONING])
        put(talk, at, &content, GPTOSS_ROLE_SYSTEM, 0);
}

static void apply_developer(conversation *talk, const options *given, const gptoss_tool_list *tools)
{
    place at = find(talk, GPTOSS_CONTENT_DEVELOPER);
    gptoss_content content = {.kind = GPTOSS_CONTENT_DEVELOPER};
    gptoss_tool_namespace functions = {.name = {"functions", 9}};
    content = content_at(talk, at, content);
    if (given->developer != NULL)
        content.developer.instructions = text_of(given->developer);
    if (tools != NULL) {
        functions.tools = gptoss_tool_list_tools(tools, &functions.tool_count);
        content.developer.namespaces = &functions;
        content.developer.namespace_count = functions.tool_count > 0;
    }
    if (given->developer != NULL || tools != NULL)
        put(talk, at, &content, GPTOSS_ROLE_DEVELOPER, conversation_head(talk));
}

void chat_head_apply(conversation *talk, const options *given, const gptoss_tool_list *tools)
{
    apply_system(talk, given, talk->count == 0);
    apply_developer(talk, given, tools);
}

gptoss_effort chat_head_effort(const conversation *talk)
{
    gptoss_content none = {.kind = GPTOSS_CONTENT_SYSTEM};
    return content_at(talk, find(talk, GPTOSS_CONTENT_SYSTEM), none).system.effort;
}

void chat_head_set_effort(conversation *talk, gptoss_effort effort)
{
    place at = find(talk, GPTOSS_CONTENT_SYSTEM);
    gptoss_content content = {.kind = GPTOSS_CONTENT_SYSTEM, .system = gptoss_system_defaults()};
    content = content_at(talk, at, content);
    content.system.effort = effort;
    put(talk, at, &content, GPTOSS_ROLE_SYSTEM, 0);
}
