#include "base/utf8.h"

/* Bytes of the sequence that a lead byte begins, and the range of its second byte; 0 for bytes
 * that begin none. The ranges exclude overlong forms, surrogates and codes above U+10FFFF. */
typedef struct sequence_form {
    uint8_t length;
    uint8_t low;
    uint8_t high;
} sequence_form;

static sequence_form form_of(uint8_t lead)
{
    if (lead < 0x80)
        return (sequence_form){1, 0, 0};
    if (lead < 0xc2 || lead > 0xf4)
        return (sequence_form){0, 0, 0};
    if (lead < 0xe0)
        return (sequence_form){2, 0x80, 0xbf};
    if (lead < 0xf0)
        return (sequence_form){3, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf};
    return (sequence_form){4, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf};
}

size_t utf8_next(const uint8_t *bytes, size_t length, int32_t *code)
{
    sequence_form form = form_of(bytes[0]);
    if (form.length == 1) {
        *code = bytes[0];
        return 1;
    }
    *code = UTF8_INVALID;
    if (form.length == 0)
        return 1;
    uint32_t value = bytes[0] & (0x7fU >> form.length);
    for (size_t i = 1; i < form.length; i++) {
        if (i == length) {
            *code = UTF8_INCOMPLETE;
            return i;
        }
        uint8_t low = i == 1 ? form.low : 0x80;
        uint8_t high = i == 1 ? form.high : 0xbf;
        if (bytes[i] < low || bytes[i] > high)
            return i;
        value = value << 6 | (bytes[i] & 0x3fU);
    }
    *code = (int32_t)value;
    return form.length;
}

size_t utf8_write(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80U | (code & 0x3fU));
        code >>= 6;
    }
    out[0] = (char)((0xf00U >> length & 0xf0U) | code);
    return length;
}

size_t utf8_valid_prefix(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        int32_t code;
        size_t used = utf8_next(bytes + at, length - at, &code);
        if (code < 0)
            break;
        at += used;
    }
    return at;
}
