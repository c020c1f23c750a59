#include "text/json_display.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings --------------------------------------------------------------------------------- */

static void display_string(text_buffer *out, const char *string)
{
    static const char shorthands[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    text_append_bytes(out, "\"", 1);
    for (const char *at = string; *at != '\0'; at++) {
        const char *shorthand = shorthands;
        while (*shorthand != '\0' && *shorthand != *at)
            shorthand += 2;
        if (*shorthand != '\0')
            text_append(out, "\\%c", shorthand[1]);
        else if ((unsigned char)*at < 0x20)
            text_append(out, "\\u%04x", (unsigned)*at);
        else
            text_append_bytes(out, at, 1);
    }
    text_append_bytes(out, "\"", 1);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* The digits of a number without its point, as many as fit into 64 bits, and the power of ten that
 * they are multiplied by. */
typedef struct decimal {
    uint64_t digits;
    int exponent;
} decimal;

/* Takes digits until one would not fit; returns whether it fitted. */
static bool add_digit(decimal *number, char digit)
{
    uint64_t value = (uint64_t)(digit - '0');
    if (number->digits > (UINT64_MAX - value) / 10)
        return false;
    number->digits = number->digits * 10 + value;
    return true;
}

static decimal read_decimal(const char *text)
{
    decimal number = {0, 0};
    bool full = false;
    text += *text == '-';
    for (; *text >= '0' && *text <= '9'; text++) {
        full = full || !add_digit(&number, *text);
        number.exponent += full;
    }
    full = false;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++) {
            full = full || !add_digit(&number, *text);
            number.exponent -= !full;
        }
    if (*text == 'e' || *text == 'E') {
        long exponent = strtol(text + 1, NULL, 10);
        number.exponent += exponent > 100000    ? 100000
                           : exponent < -100000 ? -100000
                                                : (int)exponent;
    }
    return number;
}

/* serde_json's conversion, which is not always the nearest double: one rounding for the digits, one
 * for the power, one for the product. */
static double round_decimal(decimal number)
{
    double value = (double)number.digits;
    int exponent = number.exponent;
    for (; exponent < -308 && value != 0.0; exponent += 308)
        value /= 1e308;
    if (exponent > 308)
        return value == 0.0 ? value : HUGE_VAL;
    if (exponent < -308)
        return value;
    char power[8];
    snprintf(power, sizeof power, "1e%d", abs(exponent));
    return exponent < 0 ? value / strtod(power, NULL) : value * strtod(power, NULL);
}

/* The fewest digits that give a positive number back; returns how many. The point stands after
 * *point of them. */
static int shortest_digits(double value, char digits[24], int *point)
{
    char text[32];
    int precision = -1;
    do
        snprintf(text, sizeof text, "%.*e", ++precision, value);
    while (precision < 16 && strtod(text, NULL) != value);
    int count = 0;
    for (const char *at = text; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            digits[count++] = *at;
    *point = 1 + atoi(strchr(text, 'e') + 1);
    return count;
}

/* As the crate ryu writes it: plain from 1e-5 to 1e16, with an exponent beyond. */
static void display_double(text_buffer *out, double value)
{
    char digits[24] = "0";
    int point = 1;
    if (!isfinite(value)) {
        text_append(out, "null");
        return;
    }
    if (signbit(value))
        text_append_bytes(out, "-", 1);
    int count = value == 0.0 ? 1 : shortest_digits(fabs(value), digits, &point);
    if (count <= point && point <= 16)
        text_append(out, "%.*s%.*s.0", count, digits, point - count, "0000000000000000");
    else if (point > 0 && point <= 16)
        text_append(out, "%.*s.%.*s", point, digits, count - point, digits + point);
    else if (point > -5 && point <= 0)
        text_append(out, "0.%.*s%.*s", -point, "00000", count, digits);
    else if (count == 1)
        text_append(out, "%ce%d", digits[0], point - 1);
    else
        text_append(out, "%c.%.*se%d", digits[0], count - 1, digits + 1, point - 1);
}

/* Whole numbers that fit into 64 bits stay as they are; all others are doubles. */
static void display_number(text_buffer *out, const char *text)
{
    bool negative = *text == '-';
    bool whole = strpbrk(text, ".eE") == NULL;
    decimal number = read_decimal(text);
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
    if (whole && number.exponent == 0 && number.digits <= most && !(negative && number.digits == 0))
        text_append(out, "%s%" PRIu64, negative ? "-" : "", number.digits);
    else
        display_double(out, negative ? -round_decimal(number) : round_decimal(number));
}

/* ---- values ---------------------------------------------------------------------------------- */

static void display_container(text_buffer *out, const json_value *value)
{
    bool object = json_is_object(value);
    text_append_bytes(out, object ? "{" : "[", 1);
    for (const json_value *each = json_first(value); each != NULL; each = json_next(each)) {
        if (each != json_first(value))
            text_append_bytes(out, ",", 1);
        if (object) {
            display_string(out, json_name(each));
            text_append_bytes(out, ":", 1);
        }
        json_display(out, each);
    }
    text_append_bytes(out, object ? "}" : "]", 1);
}

void json_display(text_buffer *out, const json_value *value)
{
    if (json_is_object(value) || json_is_array(value))
        display_container(out, value);
    else if (json_is_string(value))
        display_string(out, json_string(value));
    else if (json_is_number(value))
        display_number(out, json_number_text(value));
    else
        text_append(out, "%s", json_is_null(value) ? "null" : json_bool(value) ? "true" : "false");
}
