/* What an answer took: counts, times and what there is to say about its end. */
#ifndef GPTOSS_TOOL_CHAT_REPORT_H
#define GPTOSS_TOOL_CHAT_REPORT_H

#include "chat.h"

/* Says why an answer is not whole, where that is so. */
void chat_report_end(chat *of);

/* One line with counts and times. */
void chat_report_times(chat *of);

/* How long the conversation is, after a few words about what has been done with it. */
void chat_report_talk(chat *of, const char *what);

/* What /stats prints. */
void chat_report_totals(chat *of);

/* Prints the object of --json: the messages that the model made and what they took. */
void chat_report_json(const chat *of);

#endif
