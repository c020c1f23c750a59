/* checkpoint/locate: paths, hub names, and the hub's cache in all the places it may be. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint/locate.h"
#include "scratch.h"

static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "XDG_CACHE_HOME", "HOME"};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
}

static void check_found(const char *name, const char *expected)
{
    gptoss_error error = {0};
    char *found = NULL;
    gptoss_status status = locate_model(name, &found, &error);
    CHECK(status == GPTOSS_OK, "%s: %s", name, error.message);
    CHECK(found != NULL && strcmp(found, expected) == 0, "%s: found %s, not %s", name,
          found != NULL ? found : "nothing", expected);
    free(found);
}

static void check_refused(const char *name, const char *sentence)
{
    gptoss_error error = {0};
    char *found = NULL;
    CHECK(locate_model(name, &found, &error) == GPTOSS_IO && found == NULL, "%s", name);
    CHECK(strstr(error.message, sentence) != NULL, "%s: %s", name, error.message);
}

static void test_paths(void)
{
    clear_environment();
    check_found(scratch_root, scratch_root);
    const char *file = scratch_path("a.safetensors");
    scratch_write(file, "x");
    check_found(file, file);
    const char *link = scratch_path("dangling");
    CHECK(symlink("nowhere", link) == 0, "symlink");
    check_refused(link, "dangling is a link to something that cannot be reached: No such file");
    static const char *const no_names[] = {"no/such/path", "/no/such", "./no", "nothing",
                                           "owner/",       "/name",    ".a/b", "a/.b",
                                           "a b/c",        "",         "a/b/"};
    for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++)
        check_refused(no_names[i], "and it is no hub name such as openai/gpt-oss-20b either");
    check_refused("openai/gpt-oss-20b", "HOME is not set");
}

static void test_cache(void)
{
    static const struct {
        const char *variable;
        const char *below; /* the cache, from the variable's value */
    } places[] = {{"HOME", "/.cache/huggingface/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HF_HOME", "/hub"},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HUB_CACHE", ""}};
    clear_environment();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        /* Each of them outranks those set before. */
        char value[PATH_MAX];
        snprintf(value, sizeof value, "%s", scratch_path("home%zu", i));
        setenv(places[i].variable, value, 1);
        char sentence[2 * PATH_MAX];
        snprintf(
            sentence, sizeof sentence,
            "openai/tiny is neither here nor in the hub's cache %s%s; `hf download openai/tiny "
            "--exclude \"*/*\"` fetches it",
            value, places[i].below);
        check_refused("openai/tiny", sentence);
        char repository[PATH_MAX];
        snprintf(repository, sizeof repository, "home%zu%s/models--openai--tiny", i,
                 places[i].below);
        scratch_write(scratch_path("%s/refs/main", repository), "abc123\n");
        scratch_write(scratch_path("%s/snapshots/abc123/config.json", repository), "{}");
        scratch_write(scratch_path("%s/snapshots/zzz/config.json", repository), "{}");
        check_found("openai/tiny", scratch_path("%s/snapshots/abc123", repository));
    }
    setenv("HF_HUB_CACHE", "", 1);
    check_found("openai/tiny", scratch_path("home3/models--openai--tiny/snapshots/abc123"));
    setenv("HOME", scratch_path("home4"), 1);
    setenv("HF_HUB_CACHE", "~/.", 1);
    check_found("openai/tiny", scratch_path("home4/./models--openai--tiny/snapshots/abc123"));
}

static void set_time(const char *path, long seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0, "%s", path);
}

static void test_snapshots(void)
{
    clear_environment();
    setenv("HF_HUB_CACHE", scratch_path("cache"), 1);
    const char *old = scratch_path("cache/models--a--b/snapshots/old");
    const char *new = scratch_path("cache/models--a--b/snapshots/new");
    scratch_write(scratch_path("cache/models--a--b/snapshots/old/f"), "");
    scratch_write(scratch_path("cache/models--a--b/snapshots/new/f"), "");
    set_time(old, 1000);
    set_time(new, 2000);
    check_found("a/b", new);
    scratch_write(scratch_path("cache/models--a--b/refs/main"), "gone");
    check_found("a/b", new);
    scratch_write(scratch_path("cache/models--a--b/refs/main"), "../../../home0");
    check_found("a/b", new);
    scratch_write(scratch_path("cache/models--a--b/refs/main"), "");
    check_found("a/b", new);
    set_time(new, 1000);
    check_found("a/b", old);
}

static void test_names(void)
{
    char name[64];
    CHECK(locate_hub_name("/c/models--openai--gpt-oss-20b/snapshots/0123", name, sizeof name) &&
              strcmp(name, "openai/gpt-oss-20b") == 0,
          "%s", name);
    CHECK(locate_hub_name("models--a--b--c/snapshots/x/original", name, sizeof name) &&
              strcmp(name, "a/b--c") == 0,
          "%s", name);
    static const char *const others[] = {"/models", "/c/models--a/snapshots/x", "/snapshots/x",
                                         "/c/data--a--b/snapshots/x", "models--a--b"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(!locate_hub_name(others[i], name, sizeof name), "%s", others[i]);
}

int main(void)
{
    scratch_begin();
    test_paths();
    test_cache();
    test_snapshots();
    test_names();
    return test_result();
}
