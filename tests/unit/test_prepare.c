/* gptoss_model_prepare: weights are read ahead and locked, and refusals name the limit. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/map.h"
#include "base/residency.h"
#include "check.h"
#include "gptoss.h"
#include "model/residents.h"
#include "scratch.h"

#define AUSTEN GPTOSS_SOURCE_DIR "/models/austen"
#define PAGE   4096

/* What the progress was told. */
typedef struct told {
    unsigned calls;
    uint64_t done, total;
    unsigned most; /* stop after as many calls; 0: never */
} told;

static bool tell(void *user, const char *what, uint64_t done, uint64_t total)
{
    told *t = user;
    CHECK(strcmp(what, "reading weights") == 0 || strcmp(what, "locking weights") == 0, "%s", what);
    CHECK(done >= t->done && done <= total, "%" PRIu64 " of %" PRIu64, done, total);
    t->calls++;
    t->done = done;
    t->total = total;
    return t->calls != t->most;
}

static gptoss_model *open_model(const char *path)
{
    gptoss_model *model = NULL;
    gptoss_error error = {.message = ""};
    CHECK(gptoss_model_open(path, &model, &error) == GPTOSS_OK, "%s", error.message);
    return model;
}

static gptoss_status prepare(gptoss_model *model, bool lock, told *t, gptoss_error *error)
{
    gptoss_prepare_options options = {.read_ahead = true, .lock = lock, .threads = 2};
    return gptoss_model_prepare(model, &options, tell, t, error);
}

/* A number of "Vm...: N kB" in /proc/self/status. */
static uint64_t status_number(const char *key)
{
    char line[256];
    uint64_t number = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %" SCNu64, &number);
    if (file != NULL)
        fclose(file);
    return number;
}

/* ---- base/residency -------------------------------------------------------------------------- */

/* A file of `bytes` that is on its disk and nowhere else, if the file system has a disk. */
static const char *write_cold(const char *name, size_t bytes)
{
    const char *path = scratch_path("%s", name);
    char *zeros = calloc(1, bytes);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(write(file, zeros, bytes) == (ssize_t)bytes && fsync(file) == 0, "%s", path);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    free(zeros);
    return path;
}

/* The sanitizers make munlock do nothing. */
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void check_residency(void)
{
    size_t bytes = 3 * RESIDENCY_SAMPLE + 5 * PAGE + 7;
    file_map map = {0};
    gptoss_error error;
    CHECK(file_map_open(write_cold("cold", bytes), &map, &error) == GPTOSS_OK, "%s", error.message);
    size_t missing = residency_missing(map.data, map.size);
    CHECK(missing == bytes || missing == 0, "%zu of %zu bytes are missing", missing, bytes);
    if (missing == 0)
        printf("files here cannot be dropped from memory: reading ahead was not tested\n");
    residency_read(map.data + 3, map.size - 3);
    CHECK(residency_missing(map.data, map.size) == 0, "read");
    CHECK(residency_missing(map.data + 1, 0) == 0, "nothing");
    uint64_t before = status_number("VmLck");
    if (residency_lock(map.data + PAGE, PAGE + 1) == 0) {
        CHECK(status_number("VmLck") == before + 8, "two pages are locked");
        residency_unlock(map.data + PAGE, PAGE + 1);
        CHECK(SANITIZED || status_number("VmLck") == before, "none is locked");
    }
    file_map_close(&map);
}

/* ---- models ---------------------------------------------------------------------------------- */

/* A copy of the shipped model whose weights are not in memory. */
static const char *copy_cold(void)
{
    static char command[3 * PATH_MAX];
    const char *copy = scratch_path("austen");
    snprintf(command, sizeof command, "cp -r %s %s", AUSTEN, copy);
    CHECK(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c) */
    int file = open(scratch_path("austen/model.safetensors"), O_RDONLY | O_CLOEXEC);
    CHECK(fsync(file) == 0, "fsync");
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    return copy;
}

static void check_read_ahead(void)
{
    gptoss_error error = {.message = ""};
    gptoss_model *model = open_model(copy_cold());
    told interrupted = {.most = 1};
    told first = {0};
    told second = {0};
    gptoss_status status = prepare(model, false, &interrupted, &error);
    CHECK(interrupted.calls == 0 || status == GPTOSS_INTERRUPTED, "%d", status);
    CHECK(prepare(model, false, &first, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(first.done == first.total, "all was read");
    CHECK(prepare(model, false, &second, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(second.calls == 0, "what has been read is not read again");
    if (interrupted.calls == 0)
        printf("files here cannot be dropped from memory: reading ahead was not tested\n");
    gptoss_model_close(model);
}

/* Run by a process of its own: it gives up its rights. */
static int lock_as_nobody(rlim_t bytes)
{
    gptoss_error error = {.message = ""};
    told t = {0};
    char expected[64];
    gptoss_model *model = open_model(AUSTEN);
    struct rlimit limit = {bytes, bytes};
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "setrlimit");
    CHECK(geteuid() != 0 || setuid(65534) == 0, "setuid");
    CHECK(prepare(model, true, &t, &error) == GPTOSS_MEMORY, "locked in spite of the limit");
    snprintf(expected, sizeof expected, "ulimit -l) is %" PRIu64 " KiB", (uint64_t)bytes / 1024);
    CHECK(strstr(error.message, expected) != NULL, "\"%s\" has no \"%s\"", error.message, expected);
    CHECK(strncmp(error.message, "cannot lock ", 12) == 0, "%s", error.message);
    CHECK(status_number("VmLck") == 0, "nothing is locked");
    CHECK(prepare(model, false, &t, &error) == GPTOSS_OK, "the model is as it was");
    gptoss_model_close(model);
    return test_result();
}

static void check_limit(rlim_t bytes)
{
    int status = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(lock_as_nobody(bytes));
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0,
          "a limit of %" PRIu64 " bytes", (uint64_t)bytes);
}

static bool go_on(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user, (void)what, (void)done, (void)total;
    return true;
}

/* What is packed, rounded and sketched is locked in place of what it replaced. */
static void check_lock_replaced(bool only_q8)
{
    gptoss_error error = {.message = ""};
    gptoss_model *model = open_model(AUSTEN);
    gptoss_prepare_options options = {.lock = true,
                                      .pack = true,
                                      .requantise = only_q8,
                                      .only_q8 = only_q8,
                                      .sketch = true,
                                      .threads = 2};
    residents of;
    gptoss_status status = gptoss_model_prepare(model, &options, go_on, NULL, &error);
    CHECK(status == GPTOSS_OK || status == GPTOSS_MEMORY, "%s", error.message);
    CHECK(residents_of(model, &of, &error) == GPTOSS_OK, "%s", error.message);
    uint64_t unembedding = 0;
    uint64_t projections = 0;
    for (size_t i = 0; i < of.count; i++) {
        const uint8_t *end = of.list[i].start + of.list[i].bytes;
        const uint8_t *at = model->weights.layers[0].q.data;
        projections += at >= of.list[i].start && at < end;
        at = checkpoint_find(model->files, "lm_head.weight")->data;
        unembedding += at >= of.list[i].start && at < end;
    }
    CHECK(unembedding == 0, "the original of the packed unembedding");
    CHECK((projections > 0) == !only_q8, "attention weights, unless 8 bits do for all");
    CHECK((model->weights.layers[0].q.format == NUMBER_BF16_PACKED) == !only_q8, "q8 packs none");
    uint64_t locked = status_number("VmLck") * 1024;
    CHECK(status != GPTOSS_OK || (locked >= of.bytes && locked <= of.bytes + 8 * PAGE * of.count),
          "%" PRIu64 " of %" PRIu64 " bytes are locked", locked, of.bytes);
    free(of.list);
    gptoss_model_close(model);
    CHECK(status_number("VmLck") == 0, "a closed model is not locked");
}

/* Where this process may lock as much. */
static void check_lock(void)
{
    gptoss_error error = {.message = ""};
    told t = {0};
    gptoss_model *model = open_model(AUSTEN);
    gptoss_model_info info;
    gptoss_model_describe(model, &info);
    gptoss_status status = prepare(model, true, &t, &error);
    CHECK(status == GPTOSS_OK || status == GPTOSS_MEMORY, "%s", error.message);
    if (status == GPTOSS_OK) {
        uint64_t locked = status_number("VmLck") * 1024;
        CHECK(locked >= info.bytes_tensors, "%" PRIu64 " bytes are locked", locked);
        CHECK(t.done == t.total && t.total >= info.bytes_tensors, "all was read");
    } else {
        printf("locking was not tested: %s\n", error.message);
    }
    gptoss_model_close(model);
    CHECK(status_number("VmLck") == 0, "a closed model is not locked");
}

int main(void)
{
    scratch_begin();
    check_limit(0); /* these first: threads do not outlive a fork */
    check_limit(64 << 10);
    check_residency();
    check_read_ahead();
    check_lock();
    check_lock_replaced(false);
    check_lock_replaced(true);
    return test_result();
}
