/* Files that appear when they are complete, and not at all when something fails. */
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/output_file.h"
#include "check.h"
#include "scratch.h"

static int count_files(void)
{
    int count = 0;
    DIR *directory = opendir(scratch_path("there"));
    if (directory == NULL)
        abort();
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* Whether the file has this text. */
static bool has_text(const char *path, const char *text)
{
    char found[64] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t length = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    return length == strlen(text) && memcmp(found, text, length) == 0;
}

static void check_finish(const char *name, unsigned permissions)
{
    output_file file;
    gptoss_error error = {GPTOSS_OK, ""};
    struct stat info;
    const char *path = scratch_path("there/%s", name);
    int before = count_files();
    CHECK(output_file_create(&file, path, permissions, &error) == GPTOSS_OK, "%s", error.message);
    output_file_reserve(&file, 5);
    output_file_write(&file, "llo", 3, 2);
    output_file_write(&file, "he", 2, 0);
    CHECK(!has_text(path, "hello") && count_files() == before + !file.nameless, "not yet");
    CHECK(output_file_finish(&file, GPTOSS_OK) == GPTOSS_OK, "%s", error.message);
    CHECK(has_text(path, "hello") && count_files() == before + 1, "there");
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == (permissions & ~022U), "%o",
          info.st_mode);
}

/* The caller's failure, and two files on their way to one name. */
static void check_failures(void)
{
    output_file file, other;
    gptoss_error error = {GPTOSS_OK, ""};
    const char *path = scratch_path("there/file");
    CHECK(output_file_create(&file, path, 0666, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(output_file_create(&other, path, 0666, &error) == GPTOSS_OK, "%s", error.message);
    output_file_write(&file, "damaged", 7, 0);
    output_file_write(&other, "other", 5, 0);
    CHECK(count_files() == 1 + !file.nameless + !other.nameless, "%d", count_files());
    CHECK(output_file_finish(&file, GPTOSS_INTERRUPTED) == GPTOSS_INTERRUPTED, "kept");
    CHECK(has_text(path, "hello") && count_files() == 1 + !other.nameless, "as before");
    CHECK(output_file_finish(&other, GPTOSS_OK) == GPTOSS_OK, "%s", error.message);
    CHECK(has_text(path, "other") && count_files() == 1, "replaced");

    CHECK(output_file_create(&file, scratch_path("nowhere/file"), 0666, &error) == GPTOSS_IO &&
              strstr(error.message, "cannot create") != NULL,
          "%s", error.message);
    CHECK(output_file_create(&file, scratch_path("there/directory"), 0666, &error) == GPTOSS_OK,
          "%s", error.message);
    CHECK(mkdir(scratch_path("there/directory"), 0777) == 0, "a directory meanwhile");
    CHECK(output_file_finish(&file, GPTOSS_OK) == GPTOSS_IO &&
              strstr(error.message, "cannot rename") != NULL && count_files() == 2,
          "%s", error.message);
}

/* What is no regular file is not replaced by one. */
static void check_places(void)
{
    output_file file;
    gptoss_error error = {GPTOSS_OK, ""};
    const char *fifo = scratch_path("there/fifo");
    CHECK(output_file_create(&file, scratch_path("there/directory"), 0666, &error) == GPTOSS_IO &&
              strstr(error.message, "there/directory is there and a directory") != NULL,
          "%s", error.message);
    CHECK(mkfifo(fifo, 0666) == 0, "a fifo");
    CHECK(output_file_create(&file, fifo, 0666, &error) == GPTOSS_IO &&
              strstr(error.message, "is there and no regular file") != NULL,
          "%s", error.message);
    CHECK(count_files() == 3, "%d", count_files());
    unlink(fifo);
}

/* A path without a directory is one in the present one. */
static void check_bare_name(void)
{
    output_file file;
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(chdir(scratch_path("there")) == 0, "there");
    CHECK(output_file_create(&file, "bare", 0600, &error) == GPTOSS_OK, "%s", error.message);
    output_file_write(&file, "bare", 4, 0);
    CHECK(output_file_finish(&file, GPTOSS_OK) == GPTOSS_OK, "%s", error.message);
    CHECK(has_text(scratch_path("there/bare"), "bare"), "there");
}

/* What may not grow further. */
static void check_limit(void)
{
    output_file file;
    gptoss_error error = {GPTOSS_OK, ""};
    struct rlimit before;
    const char *path = scratch_path("there/file");
    int files = count_files();
    (void)signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const struct rlimit less = {2, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &less) == 0, "setrlimit");
    CHECK(output_file_create(&file, path, 0666, &error) == GPTOSS_OK, "%s", error.message);
    output_file_reserve(&file, 6);
    output_file_write(&file, "longer", 6, 0);
    gptoss_status status = output_file_finish(&file, GPTOSS_OK);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(status == GPTOSS_IO && strstr(error.message, "File too large") != NULL, "%s",
          error.message);
    CHECK(has_text(path, "other") && count_files() == files, "as before");
}

/* Killed after any step, the program leaves the file as before and, where files need no names,
 * nothing else. */
static void check_killed(void)
{
    output_file file;
    const char *path = scratch_path("there/file");
    int files = count_files();
    for (int step = 0; step < 4; step++) {
        pid_t child = fork();
        if (child == 0) {
            output_file_create(&file, path, 0666, NULL);
            if (step > 0)
                output_file_reserve(&file, 6);
            if (step > 1)
                output_file_write(&file, "lon", 3, 0);
            if (step > 2)
                output_file_write(&file, "ger", 3, 3);
            raise(SIGKILL);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "killed");
        CHECK(has_text(path, "other"), "after step %d", step);
    }
    CHECK(output_file_create(&file, path, 0666, NULL) == GPTOSS_OK, "created");
    CHECK(!file.nameless || count_files() == files, "%d files are left", count_files() - files);
    printf("files without a name: %s\n", file.nameless ? "yes" : "not on this file system");
    output_file_finish(&file, GPTOSS_INTERRUPTED);
}

int main(void)
{
    scratch_begin();
    CHECK(mkdir(scratch_path("there"), 0777) == 0, "a directory");
    umask(022);
    check_finish("private", 0600);
    CHECK(remove(scratch_path("there/private")) == 0, "removed");
    check_finish("file", 0666);
    check_failures();
    check_places();
    check_limit();
    check_killed();
    check_bare_name();
    return test_result();
}
