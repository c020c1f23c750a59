#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenize.h"

#include <assert.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/unicode_classes.h"

#define PATTERN_UPPER  "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define PATTERN_LOWER  "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define PATTERN_SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

/* clang-format off */
const char o200k_pattern[] =
    "[^\\r\\n\\p{L}\\p{N}]?[" PATTERN_UPPER "]*[" PATTERN_LOWER "]+" PATTERN_SUFFIX
    "|[^\\r\\n\\p{L}\\p{N}]?[" PATTERN_UPPER "]+[" PATTERN_LOWER "]*" PATTERN_SUFFIX
    "|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
    "|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)"
    "|\\s+";
/* clang-format on */

/*
 * PCRE2 never sees the text. Every code point is first replaced by one byte that says all that the
 * pattern can ask about it, and a translation of the pattern runs over those bytes:
 *
 *     text      I ' v e   s e e n   1 2   É t é s \r \n
 *     symbols   X ' v e _ s e e x _ 0 0 _ X t x s \n \n        (_ for a space)
 *
 * So the classes are exactly the generated ones, whatever Unicode version and whatever notion of
 * \s the installed PCRE2 has; a class test is one bit of a bitmap; and subject offsets count code
 * points. The letters of the contractions stand for themselves.
 */
#define SYMBOL_UPPER   'X' /* Lu and Lt, but the contractions' letters */
#define SYMBOL_LOWER   'x' /* Ll, but the contractions' letters */
#define SYMBOL_UNCASED 'o' /* Lm, Lo */
#define SYMBOL_MARK    '^'
#define SYMBOL_NUMBER  '0'
#define SYMBOL_NEWLINE '\n' /* CR too: the pattern never tells them apart */
#define SYMBOL_SPACE   '\t' /* White_Space but space, CR and LF */
#define SYMBOL_OTHER   '.'  /* the rest; of it, space, slash and apostrophe stand for themselves */

#define CONTRACTION_LOWER "strevmld"
#define CONTRACTION_UPPER "STREVMLD"
#define LONG_S            0x017f /* folds to s */

#define LETTERS "Xxo" CONTRACTION_LOWER CONTRACTION_UPPER
#define UPPER   "[Xo\\^" CONTRACTION_UPPER "]"
#define LOWER   "[xo\\^" CONTRACTION_LOWER "]"
#define SUFFIX  "(?i:'(?:s|t|re|ve|m|ll|d))?"
#define WHITE   " \\n\\t"

/* clang-format off */
static const char symbol_pattern[] =
    "[^\\n0" LETTERS "]?" UPPER "*" LOWER "+" SUFFIX
    "|[^\\n0" LETTERS "]?" UPPER "+" LOWER "*" SUFFIX
    "|0{1,3}"
    "| ?[^" WHITE "0" LETTERS "]+[\\n/]*"
    "|[" WHITE "]*\\n+"
    "|[" WHITE "]+(?![^" WHITE "])"
    "|[" WHITE "]+";
/* clang-format on */

struct pretokenizer {
    pcre2_code *code;
    pcre2_match_context *context;
    uint8_t symbols[UTF8_MAX_CODE + 1]; /* [code point] */
};

struct piece_walk {
    const pretokenizer *rules;
    pcre2_match_data *match;
    const uint8_t *text; /* the bytes that no piece has yet */
    size_t symbol_at;
    size_t symbol_count;
    uint8_t symbols[];
};

static void set_symbols(uint8_t *symbols, const unicode_range *ranges, size_t count, uint8_t symbol)
{
    for (size_t i = 0; i < count; i++)
        memset(symbols + ranges[i].first, symbol, ranges[i].last - ranges[i].first + 1);
}

#define SET_SYMBOLS(symbols, ranges, symbol)                                                       \
    set_symbols(symbols, ranges, sizeof(ranges) / sizeof((ranges)[0]), symbol)

static void fill_symbols(uint8_t *symbols)
{
    memset(symbols, SYMBOL_OTHER, UTF8_MAX_CODE + 1);
    SET_SYMBOLS(symbols, unicode_upper, SYMBOL_UPPER);
    SET_SYMBOLS(symbols, unicode_lower, SYMBOL_LOWER);
    SET_SYMBOLS(symbols, unicode_uncased, SYMBOL_UNCASED);
    SET_SYMBOLS(symbols, unicode_mark, SYMBOL_MARK);
    SET_SYMBOLS(symbols, unicode_number, SYMBOL_NUMBER);
    SET_SYMBOLS(symbols, unicode_space, SYMBOL_SPACE);
    symbols['\r'] = symbols['\n'] = SYMBOL_NEWLINE;
    for (const char *named = " '/" CONTRACTION_LOWER CONTRACTION_UPPER; *named != '\0'; named++)
        symbols[(uint8_t)*named] = (uint8_t)*named;
    symbols[LONG_S] = 's';
}

static gptoss_status compile_pattern(pretokenizer *rules, bool just_in_time, gptoss_error *error)
{
    int code;
    size_t offset;
    rules->context = pcre2_match_context_create(NULL);
    rules->code = pcre2_compile((PCRE2_SPTR)symbol_pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED,
                                &code, &offset, NULL);
    if (rules->context == NULL || rules->code == NULL)
        return fail_memory(error, "the pre-tokenizer's pattern", sizeof symbol_pattern);
    /* The pattern takes linear time and, having no repeated group, constant depth: the limit on
     * the number of steps could only refuse a long text. */
    pcre2_set_match_limit(rules->context, UINT32_MAX);
    if (just_in_time) /* refused where pages cannot be made executable; then it is interpreted */
        (void)pcre2_jit_compile(rules->code, PCRE2_JIT_COMPLETE);
    return GPTOSS_OK;
}

gptoss_status pretokenizer_open(bool just_in_time, pretokenizer **out, gptoss_error *error)
{
    *out = NULL;
    pretokenizer *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return fail_memory(error, "the pre-tokenizer's classes", sizeof *rules);
    fill_symbols(rules->symbols);
    gptoss_status status = compile_pattern(rules, just_in_time, error);
    if (status != GPTOSS_OK) {
        pretokenizer_close(rules);
        return status;
    }
    *out = rules;
    return GPTOSS_OK;
}

void pretokenizer_close(pretokenizer *rules)
{
    if (rules == NULL)
        return;
    pcre2_code_free(rules->code);
    pcre2_match_context_free(rules->context);
    free(rules);
}

/* Writes one symbol for each code point and returns their number. */
static size_t symbolise(const pretokenizer *rules, const uint8_t *text, size_t length, uint8_t *out)
{
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        int32_t code = text[at];
        at += code < 0x80 ? 1 : utf8_next(text + at, length - at, &code);
        assert(code >= 0);
        out[count++] = rules->symbols[code];
    }
    return count;
}

gptoss_status piece_walk_open(const pretokenizer *rules, const char *text, size_t length,
                              piece_walk **out, gptoss_error *error)
{
    *out = NULL;
    size_t bytes = sizeof(piece_walk) + length;
    piece_walk *walk = malloc(bytes);
    if (walk == NULL)
        return fail_memory(error, "the pre-tokenizer's view of a text", bytes);
    walk->match = pcre2_match_data_create(1, NULL);
    if (walk->match == NULL) {
        free(walk);
        return fail_memory(error, "the pre-tokenizer's match", 2 * sizeof(size_t));
    }
    walk->rules = rules;
    walk->text = (const uint8_t *)text;
    walk->symbol_at = 0;
    walk->symbol_count = symbolise(rules, walk->text, length, walk->symbols);
    *out = walk;
    return GPTOSS_OK;
}

void piece_walk_close(piece_walk *walk)
{
    if (walk == NULL)
        return;
    pcre2_match_data_free(walk->match);
    free(walk);
}

static gptoss_status fail_match(int code, size_t at, gptoss_error *error)
{
    char reason[128] = "unknown error";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
    gptoss_status status = code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT
                               ? GPTOSS_MEMORY
                               : GPTOSS_LIMIT;
    return fail(error, status, "pre-tokenizer: PCRE2 gave up at code point %zu of the text: %s", at,
                reason);
}

/* Bytes of the sequence that a lead byte of well-formed UTF-8 begins. */
static size_t sequence_length(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

gptoss_status piece_walk_next(piece_walk *walk, const char **piece, size_t *length,
                              gptoss_error *error)
{
    *piece = (const char *)walk->text;
    *length = 0;
    if (walk->symbol_at == walk->symbol_count)
        return GPTOSS_OK;
    int code = pcre2_match(walk->rules->code, walk->symbols, walk->symbol_count, walk->symbol_at, 0,
                           walk->match, walk->rules->context);
    if (code <= 0) /* every symbol begins some alternative, so that "no match" is a failure too */
        return fail_match(code, walk->symbol_at, error);
    size_t end = pcre2_get_ovector_pointer(walk->match)[1];
    assert(end > walk->symbol_at);
    for (; walk->symbol_at < end; walk->symbol_at++)
        walk->text += sequence_length(*walk->text);
    *length = (size_t)((const char *)walk->text - *piece);
    return GPTOSS_OK;
}
