/* The pieces that texts are cut into, by machine code and by the interpreter. */
#include "text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define NEL "\xc2\x85" /* U+0085, which C has no escape for */

/* The pieces of `text`, each followed by "|", in `out`; false when they don't join to the text. */
static bool join_pieces(const pretokenizer *rules, const char *text, char *out)
{
    piece_walk *walk;
    const char *piece;
    const char *expected = text;
    size_t length;
    if (piece_walk_open(rules, text, strlen(text), &walk, NULL) != GPTOSS_OK)
        return false;
    while (piece_walk_next(walk, &piece, &length, NULL) == GPTOSS_OK && length > 0) {
        if (piece != expected)
            break;
        expected += length;
        memcpy(out, piece, length);
        out[length] = '|';
        out += length + 1;
    }
    *out = '\0';
    piece_walk_close(walk);
    return *expected == '\0';
}

static void check_pieces(const pretokenizer *rules, const char *engine)
{
    static const struct {
        const char *text;
        const char *pieces;
    } cases[] = {
        {"", ""},
        {"Hello world", "Hello| world|"},
        {"HelloWorld", "Hello|World|"},
        {"HELLOworld", "HELLOworld|"},
        {"don't DON'T we'LL", "don't| DON'T| we'LL|"},
        {"it'\u017f", "it'\u017f|"}, /* long s folds to s */
        {"it'\u017ft", "it'\u017f|t|"},
        {"it'x", "it|'x|"},
        {"'tis", "'tis|"},
        {"rock'n'roll", "rock|'n|'roll|"},
        {"a'lla", "a'll|a|"},
        {"12345", "123|45|"},
        {"x1y", "x|1|y|"},
        {"\u00b2\u2167\u0967\u0968", "\u00b2\u2167\u0967|\u0968|"},
        {"a  b", "a| | b|"},
        {"a   ", "a|   |"},
        {"a \t b", "a| \t| b|"},
        {"a\t b", "a|\t| b|"},
        {"a \n b", "a| \n| b|"},
        {"a \n \r\n  b", "a| \n \r\n| | b|"},
        {"\n\n", "\n\n|"},
        {" ", " |"},
        {"end. // x", "end|.| //| x|"},
        {"a!\n\nb", "a|!\n\n|b|"},
        {"a !?/\r\n/b", "a| !?/\r\n/|b|"},
        {"a\u00a0b", "a|\u00a0b|"}, /* a space before a letter belongs to it, whatever space */
        {"a\u00a0\u00a0b", "a|\u00a0|\u00a0b|"},
        {"a" NEL "1", "a|" NEL "|1|"},
        {"a" NEL NEL "!", "a|" NEL "|" NEL "|!|"},
        {"a\u180e!", "a|\u180e!|"}, /* U+180E and U+FEFF are no white space */
        {"a \ufeff!", "a| \ufeff!|"},
        {"\ufeffword", "\ufeffword|"},
        {"\u4e00\u4e8c\u4e09", "\u4e00\u4e8c\u4e09|"},
        {"\u4e00A\u4e8cB", "\u4e00A\u4e8c|B|"}, /* the first alternative gives back */
        {"A\u0301b", "A\u0301b|"},
        {"\u0301\u0301", "\u0301\u0301|"},
        {"!\u0301A", "!\u0301|A|"},
        {"\u01c5a", "\u01c5a|"}, /* Lt */
        {"\U0001f469\u200d\U0001f467 x", "\U0001f469\u200d\U0001f467| x|"},
        {"\u1c89\u1c8a", "\u1c89\u1c8a|"}, /* upper and lower case since Unicode 16 */
        {"\u1c8a\u1c89", "\u1c8a|\u1c89|"},
        {"\u0378a", "\u0378a|"}, /* unassigned */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[256];
        CHECK(join_pieces(rules, cases[i].text, out), "%s, '%s' became '%s'", engine, cases[i].text,
              out);
        CHECK(strcmp(out, cases[i].pieces) == 0, "%s, '%s': found '%s', expected '%s'", engine,
              cases[i].text, out, cases[i].pieces);
    }
}

/* `repeats` copies of `unit` with `tail` behind: how many pieces, and whether they are all of it.
 */
static void check_long(const pretokenizer *rules, const char *engine, const char *unit,
                       size_t repeats, const char *tail, size_t expected)
{
    size_t period = strlen(unit);
    size_t length = period * repeats + strlen(tail);
    char *text = malloc(length + 1);
    for (size_t i = 0; i < period * repeats; i++)
        text[i] = unit[i % period];
    memcpy(text + period * repeats, tail, strlen(tail) + 1);

    gptoss_error error = {.message = ""};
    piece_walk *walk;
    const char *piece;
    size_t piece_length = 0;
    size_t pieces = 0;
    size_t bytes = 0;
    gptoss_status status = piece_walk_open(rules, text, length, &walk, &error);
    while (status == GPTOSS_OK) {
        status = piece_walk_next(walk, &piece, &piece_length, &error);
        if (status != GPTOSS_OK || piece_length == 0)
            break;
        pieces++;
        bytes += piece_length;
    }
    CHECK(status == GPTOSS_OK && bytes == length && pieces == expected,
          "%s, %zu times '%s' + '%s': %zu pieces of %zu bytes, %s", engine, repeats, unit, tail,
          pieces, bytes, error.message);
    piece_walk_close(walk);
    free(text);
}

/* Ten million of anything neither fails nor takes more than linear time. */
static void check_lengths(const pretokenizer *rules, const char *engine)
{
    const size_t many = 10000000;
    check_long(rules, engine, "a", many, "", 1);
    check_long(rules, engine, "A", many, "", 1);
    check_long(rules, engine, "A", many, "\u4e00", 1);
    check_long(rules, engine, "\u4e00", many / 2, "A", 2);
    check_long(rules, engine, "\u0301", many / 2, "!", 2);
    check_long(rules, engine, " ", many, "", 1);
    check_long(rules, engine, " ", many, "!", 2);
    check_long(rules, engine, " ", many, "\n", 1);
    check_long(rules, engine, "\n", many, " x", 2);
    check_long(rules, engine, "!", many, "/", 1);
    check_long(rules, engine, "1", many / 10, "", (many / 10 + 2) / 3);
    check_long(rules, engine, "\u3000", many / 2, "a", 2);
    check_long(rules, engine, "'S", many / 10, "", many / 20);
}

int main(void)
{
    for (int jit = 0; jit < 2; jit++) {
        pretokenizer *rules;
        const char *engine = jit == 0 ? "interpreter" : "machine code";
        gptoss_status status = pretokenizer_open(jit != 0, &rules, NULL);
        CHECK(status == GPTOSS_OK, "status %d", status);
        check_pieces(rules, engine);
        check_lengths(rules, engine);
        pretokenizer_close(rules);
    }
    pretokenizer_close(NULL);
    piece_walk_close(NULL);
    return test_result();
}
