#include "chat_report.h"

#include "chat_head.h"
#include "console.h"
#include "messages_json.h"
#include "sampling.h"

const char *chat_stop_name(chat_stop stop)
{
    static const char *const names[] = {"end", "call", "length", "context", "interrupted", "role"};
    return names[stop];
}

static double per_second(uint64_t count, double seconds)
{
    return seconds > 0.0 ? (double)count / seconds : 0.0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- text ------------------------------------------------------------------------------------ */

static void tell_outside(chat *of)
{
    if (!of->last.outside || of->told_outside)
        return;
    of->told_outside = true;
    show_note(&of->show, "this model leaves the chat format out: all that it says is its answer");
}

void chat_report_end(chat *of)
{
    const chat_turn *last = &of->last;
    bool typed = of->input != NULL;
    const char *more = typed ? "; /continue goes on" : "";
    tell_outside(of);
    if (last->stop == CHAT_STOP_KEY && last->silent)
        show_note(&of->show, "stopped before the answer began%s",
                  typed ? "; /retry asks again, /undo takes your message back" : "");
    else if (last->stop == CHAT_STOP_KEY)
        show_note(&of->show, "stopped%s", more);
    else if (last->stop == CHAT_STOP_LENGTH)
        show_note(&of->show, "cut after %u token%s (-n)%s", last->generated,
                  plural(last->generated), more);
    else if (last->stop == CHAT_STOP_CONTEXT)
        show_note(&of->show, "cut: the context of %u tokens is full",
                  gptoss_sequence_context(of->opened->sequence));
    else if (last->stop == CHAT_STOP_ROLE)
        show_note(&of->show, "stopped where the model began to speak for someone else");
    else if (last->silent)
        show_note(&of->show, "the model said nothing");
}

void chat_report_times(chat *of)
{
    const chat_turn *last = &of->last;
    show_aside(&of->show, "%u token%s in %.2f s (%.1f/s); read %u of %u in %.2f s (%.1f/s)",
               last->generated, plural(last->generated), last->seconds,
               per_second(last->generated, last->seconds), last->fed, last->prompt,
               last->prompt_seconds, per_second(last->fed, last->prompt_seconds));
}

void chat_report_talk(chat *of, const char *what)
{
    size_t turns = conversation_turns(&of->talk);
    show_aside(&of->show, "%s%zu turn%s, reasoning %s", what, turns, plural(turns),
               chat_effort_name(chat_head_effort(&of->talk)));
}

void chat_report_totals(chat *of)
{
    char a[CONSOLE_NUMBER], b[CONSOLE_NUMBER];
    const chat_totals *all = &of->totals;
    const gptoss_sequence *sequence = of->opened->sequence;
    chat_report_talk(of, "");
    show_aside(&of->show, "%s of %s tokens of the context are in the cache",
               format_count(gptoss_sequence_length(sequence), a),
               format_count(gptoss_sequence_context(sequence), b));
    if (all->runs == 0)
        return;
    show_aside(&of->show, "%llu answer%s, %s tokens generated, %.1f/s",
               (unsigned long long)all->runs, plural(all->runs), format_count(all->generated, a),
               per_second(all->generated, all->seconds));
    show_aside(&of->show, "%s prompt tokens read, %.1f/s; %s found in the cache",
               format_count(all->fed, a), per_second(all->fed, all->prompt_seconds),
               format_count(all->reused, b));
    show_aside(&of->show, "the last answer:");
    chat_report_times(of);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_usage(json_writer *json, const chat_turn *last)
{
    json_put_object(json, "usage");
    json_put_whole(json, "prompt_tokens", last->prompt);
    json_put_whole(json, "reused_tokens", last->reused);
    json_put_whole(json, "fed_tokens", last->fed);
    json_put_whole(json, "completion_tokens", last->generated);
    json_put_whole(json, "reasoning_tokens", last->thought);
    json_put_whole(json, "dropped_turns", last->dropped);
    json_end_object(json);
}

static void put_timings(json_writer *json, const chat_turn *last)
{
    json_put_object(json, "timings");
    json_put_real(json, "prompt_seconds", last->prompt_seconds);
    json_put_real(json, "prompt_per_second", per_second(last->fed, last->prompt_seconds));
    json_put_real(json, "seconds", last->seconds);
    json_put_real(json, "per_second", per_second(last->generated, last->seconds));
    json_end_object(json);
}

void chat_report_json(const chat *of)
{
    const chat_turn *last = &of->last;
    json_writer json = JSON_WRITER(stdout);
    json_put_object(&json, NULL);
    messages_put(&json, of->talk.messages + last->first, of->talk.count - last->first);
    json_put_text(&json, "stop", chat_stop_name(last->stop));
    json_put_bool(&json, "outside_format", last->outside);
    put_usage(&json, last);
    put_timings(&json, last);
    json_put_whole(&json, "seed", of->sampling.seed);
    sampling_put(&json, &of->sampling);
    runtime_put_run(&json, of->opened->executor);
    json_end_object(&json);
    console_stream("\n", 1);
}
