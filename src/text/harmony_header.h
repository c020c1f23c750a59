/* The header of a message: what stands between <|start|> and <|message|>, control tokens spelled
 * out. */
#ifndef TEXT_HARMONY_HEADER_H
#define TEXT_HARMONY_HEADER_H

#include "base/arena.h"
#include "base/text_buffer.h"
#include "text/harmony.h"

/* What a header says. The texts are in the arena it was read with. */
typedef struct harmony_header {
    gptoss_role role;
    gptoss_text name;
    gptoss_text recipient;
    gptoss_text channel;
    gptoss_text content_type;
    gptoss_text rest; /* header_salvage: what belongs to none of these, and so to the content */
} harmony_header;

/*
 * Reads a header as openai-harmony 0.0.8 does. `role` NULL: the header begins with the role.
 * Refused (GPTOSS_FORMAT) are text that is no UTF-8, a channel without a name, a header without a
 * role, an unknown role alone, and words that are left over. Two of its habits are worth knowing: a
 * single word is the recipient, with or without "to="; an unknown role before other words is the
 * name of a tool.
 */
gptoss_status header_parse(gptoss_text text, const gptoss_role *role, arena *memory,
                           harmony_header *out, gptoss_error *error);

/*
 * Takes what it can find from a header that header_parse refuses, or that ended without <|message|>
 * (`closed` false, where only words at the beginning are looked at: the rest is what the model
 * said). Words that mean nothing are the rest. Fails only for lack of memory.
 */
gptoss_status header_salvage(gptoss_text text, const gptoss_role *role, bool closed, arena *memory,
                             harmony_header *out, gptoss_error *error);

/*
 * Whether a header that is not complete can still be one. It is not when it has more words that
 * mean nothing in a header, or longer ones, than a model would write there by mistake, or more than
 * 512 bytes: then the model left the header out and is in the middle of what it says.
 */
bool header_plausible(gptoss_text text, const gptoss_role *role);

#endif
