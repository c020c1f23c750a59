/* UTF-8: one code point at a time, with the ill-formed parts that the WHATWG decoder finds. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX_CODE    0x10ffff
#define UTF8_REPLACEMENT 0xfffd

/* What utf8_next says instead of a code point. */
#define UTF8_INVALID    (-1) /* a maximal ill-formed part, which U+FFFD stands for */
#define UTF8_INCOMPLETE (-2) /* well-formed as far as it goes, but the bytes end */

/*
 * Reads the first code point of `length` > 0 bytes into *code and returns how many bytes it takes;
 * of ill-formed input, the maximal part that could have begun a sequence, or else one byte. For
 * UTF8_INCOMPLETE that is all of them. Source: Unicode 16, tables 3-7 and 3-8.
 */
size_t utf8_next(const uint8_t *bytes, size_t length, int32_t *code);

/* Writes a code point (no surrogate) and returns its length, 1 to 4. */
size_t utf8_write(uint32_t code, char out[4]);

/* Length of the longest well-formed prefix that ends between code points. */
size_t utf8_valid_prefix(const uint8_t *bytes, size_t length);

#endif
