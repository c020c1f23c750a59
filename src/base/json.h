/* Reading JSON. The only place that knows cJSON. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Bounds of what is accepted; docs/SECURITY.md lists them. */
#define JSON_MAX_FILE   (100U << 20) /* bytes of a file */
#define JSON_MAX_DEPTH  256          /* arrays and objects inside each other */
#define JSON_MAX_VALUES 4000000U     /* of any kind; one takes about 80 bytes of memory */
#define JSON_MAX_NUMBER 63           /* characters */

/* A value inside a parsed document, which owns it. */
typedef struct cJSON json_value;

/*
 * Parses `length` bytes, which must hold exactly one value and white space (RFC 8259, in UTF-8).
 * Refused beyond that: the character U+0000 in a string, and what exceeds the bounds above. `what`
 * names the text in the error, which tells the byte offset of the fault. Free the result with
 * json_free.
 */
gptoss_status json_parse(const char *text, size_t length, const char *what, json_value **out,
                         gptoss_error *error);

/* Reads and parses a whole file of at most JSON_MAX_FILE bytes. */
gptoss_status json_parse_file(const char *path, json_value **out, gptoss_error *error);

void json_free(json_value *document);

/* Member of an object by exact name, the last one when there are several; NULL when absent or when
 * `object` is NULL or no object. Linear time. */
const json_value *json_member(const json_value *object, const char *name);

/* Walking an object's members or an array's elements in order. */
const json_value *json_first(const json_value *container);
const json_value *json_next(const json_value *value);
const char *json_name(const json_value *member);

bool json_is_object(const json_value *value);
bool json_is_array(const json_value *value);
bool json_is_string(const json_value *value);
bool json_is_number(const json_value *value);
bool json_is_bool(const json_value *value);
bool json_is_null(const json_value *value); /* an explicit null, not a missing value */

/* Elements of an array or members of an object. Linear time. */
size_t json_count(const json_value *container);

/* The value itself; only for a value of that kind. Strings are UTF-8 and terminated. */
const char *json_string(const json_value *value);
double json_number(const json_value *value);
bool json_bool(const json_value *value);

/*
 * A double does not tell 1 from 1.0. After json_keep_numbers, json_number_text has each number of
 * the document as it is written in `text`, from which the document was parsed.
 */
gptoss_status json_keep_numbers(json_value *document, const char *text, gptoss_error *error);
const char *json_number_text(const json_value *value);

/* A whole number from 0 to 2^53 - 1, all of which a double holds exactly; false otherwise. */
bool json_u64(const json_value *value, uint64_t *out);

#endif
