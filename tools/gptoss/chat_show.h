/*
 * What is seen of an answer: the channel final on standard output and nothing else there, all other
 * channels on standard error.
 */
#ifndef GPTOSS_TOOL_CHAT_SHOW_H
#define GPTOSS_TOOL_CHAT_SHOW_H

#include "chat_conversation.h"
#include "command.h"

typedef enum show_thinking {
    THINKING_OFF, /* a line that says how long it took */
    THINKING_ON,
    THINKING_DIM, /* with colours; else as on */
} show_thinking;

typedef struct chat_show {
    show_thinking thinking;
    bool quiet;          /* the answer is not printed: --json */
    bool colour;         /* standard error takes colours */
    bool error_terminal; /* standard error is a terminal, */
    bool out_terminal;   /* and standard output */
    bool together;       /* both are the same file or terminal */
    bool error_open;     /* the line under way on standard error has something in it, */
    bool out_open;       /* likewise */
    bool broken;         /* standard output could not be written */
    message_part part;   /* of the message under way */
    bool begun;          /* something of it was shown */
    double since;        /* when it began */
    uint32_t tokens;     /* of it so far */
    double drawn;        /* when the counter was drawn; 0: it is not there */
} chat_show;

/* Begins as the flags and the terminal say. */
void show_open(chat_show *show, const options *given);

/* The messages of an answer as they come: a header, texts, the end. A call is shown at its end.
 * `more`: it is more of the last one. */
void show_begin(chat_show *show, const gptoss_message *message, bool more);
void show_text(chat_show *show, gptoss_text text);
void show_end(chat_show *show, const gptoss_message *message);

/* A token came for the message under way. */
void show_token(chat_show *show);

/* Ends the answer's last line where what follows would be glued to it. `alone`: nothing follows on
 * standard output, which then keeps just what was said. */
void show_finish(chat_show *show, bool alone);

/* A sentence of the program's in the conversation, on a line of standard error. */
void show_note(chat_show *show, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, less conspicuous. */
void show_aside(chat_show *show, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Shows thoughts that were not, or again. */
void show_thoughts(chat_show *show, gptoss_text text);

#endif
