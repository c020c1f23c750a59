/* What was typed, for the next run. */
#include "../../tools/gptoss/history_file.h"

#include <errno.h>
#include <string.h>

#include "base/text_buffer.h"
#include "check.h"
#include "scratch.h"

/* The texts with a | behind each. */
static void note(void *user, const char *text, size_t length)
{
    text_append_bytes(user, text, length);
    text_append(user, "|");
}

static void check_read(const char *path, const char *expected)
{
    text_buffer out = {0};
    text_append(&out, "%s", "");
    history_file_read(path, note, &out);
    CHECK(strcmp(out.bytes, expected) == 0, "%s, expected %s", out.bytes, expected);
    text_free(&out);
}

static void check_texts(void)
{
    static const char *const texts[] = {"one", "two\nlines\\n", "\\", "w\xc3\xb6rld"};
    const char *path = scratch_path("deep/down/history");
    struct stat info;
    check_read(path, "");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(history_file_add(path, texts[i], strlen(texts[i])), "%s", strerror(errno));
    check_read(path, "one|two\nlines\\n|\\|w\xc3\xb6rld|");
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600, "%o", info.st_mode);
    CHECK(stat(scratch_path("deep"), &info) == 0 && (info.st_mode & 0777) == 0700, "%o",
          info.st_mode);
}

/* What someone else wrote there, or half a line of it. */
static void check_foreign(void)
{
    const char *path = scratch_path("foreign");
    static const char bytes[] = "a\\\n\n\\x\0y\nb\\\\c\\nd\nlast";
    scratch_write_bytes(path, bytes, sizeof bytes - 1);
    check_read(path, "a\\|b\\c\nd|last|");
}

static void check_shortening(void)
{
    const char *path = scratch_path("long");
    text_buffer all = {0}, rest = {0};
    for (int i = 0; i < 2 * HISTORY_TEXTS; i++)
        text_append(&all, "text %d\n", i);
    for (int i = HISTORY_TEXTS; i < 2 * HISTORY_TEXTS; i++)
        text_append(&rest, "text %d|", i);
    scratch_write(path, all.bytes);
    check_read(path, rest.bytes);
    struct stat info;
    size_t size = all.length;
    CHECK(stat(path, &info) == 0 && (size_t)info.st_size < size * 2 / 3, "%ld", info.st_size);
    CHECK((info.st_mode & 0777) == 0600, "%o", info.st_mode);
    check_read(path, rest.bytes);
    text_free(&all);
    text_free(&rest);
}

static void check_path(void)
{
    setenv("HOME", "/home/someone", 1);
    unsetenv("XDG_STATE_HOME");
    char *path = history_file_path();
    CHECK(path != NULL && strcmp(path, "/home/someone/.local/state/gptoss/history") == 0, "%s",
          path);
    free(path);
    setenv("XDG_STATE_HOME", "/state", 1);
    path = history_file_path();
    CHECK(path != NULL && strcmp(path, "/state/gptoss/history") == 0, "%s", path);
    free(path);
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    CHECK(history_file_path() == NULL, "no home");
}

static void check_refused(void)
{
    scratch_write(scratch_path("file"), "");
    CHECK(!history_file_add(scratch_path("file/history"), "x", 1) && errno == ENOTDIR, "%s",
          strerror(errno));
}

int main(void)
{
    scratch_begin();
    check_texts();
    check_foreign();
    check_shortening();
    check_refused();
    check_path();
    return test_result();
}
