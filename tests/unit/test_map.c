/* base/map: regular files are mapped or read, everything else is refused with a sentence and no
 * waiting; which file an address belongs to, and whether a file was written to. */
#include <fcntl.h>
#include <string.h>

#include "base/map.h"
#include "check.h"
#include "scratch.h"

static void check_refused(const char *path, const char *sentence)
{
    gptoss_error error = {0};
    file_map map;
    CHECK(file_map_open(path, &map, &error) == GPTOSS_IO && map.data == NULL, "%s", path);
    CHECK(strstr(error.message, sentence) != NULL, "%s: %s", path, error.message);
    file_map_close(&map);
    CHECK(file_map_read(path, 100, &map, &error) == GPTOSS_IO && map.data == NULL, "%s", path);
    CHECK(strstr(error.message, sentence) != NULL, "%s: %s", path, error.message);
    file_map_close(&map);
}

static void test_mapping(void)
{
    gptoss_error error = {0};
    file_map map;
    const char *path = scratch_path("file");
    scratch_write(path, "hello");
    CHECK(file_map_open(path, &map, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(map.size == 5 && memcmp(map.data, "hello", 5) == 0, "the bytes");
    file_map_close(&map);
    CHECK(map.data == NULL && map.size == 0, "closed");
    file_map_close(&map);
    scratch_write(path, "");
    CHECK(file_map_open(path, &map, &error) == GPTOSS_OK && map.data == NULL && map.size == 0,
          "an empty file");
}

static void test_reading(void)
{
    gptoss_error error = {0};
    file_map map;
    const char *path = scratch_path("read");
    scratch_write(path, "hello");
    CHECK(file_map_read(path, 5, &map, &error) == GPTOSS_OK, "%s", error.message);
    scratch_write(path, "HELLO, there");
    CHECK(map.size == 5 && memcmp(map.data, "hello", 5) == 0, "a copy does not change");
    file_map_close(&map);
    CHECK(file_map_read(path, 11, &map, &error) == GPTOSS_LIMIT && map.data == NULL, "too long");
    CHECK(strstr(error.message, "/read has 12 bytes, more than the 11 that a file of its kind may "
                                "have") != NULL,
          "%s", error.message);
    scratch_write(path, "");
    CHECK(file_map_read(path, 0, &map, &error) == GPTOSS_OK && map.data == NULL && map.size == 0,
          "an empty file");
}

/* Many maps at once, in any order. */
static void test_addresses(void)
{
    enum { COUNT = 20 };
    file_map maps[COUNT] = {0};
    uint64_t bytes = 7;
    int outside = 0;
    for (int i = 0; i < COUNT; i++) {
        char text[COUNT + 2] = "";
        memset(text, 'x', (size_t)i + 1);
        scratch_write(scratch_path("many/%d", i), text);
    }
    for (int turn = 0; turn < 3; turn++) {
        for (int i = turn; i < COUNT; i += turn + 1) {
            file_map_close(&maps[i]);
            CHECK(file_map_open(scratch_path("many/%d", i), &maps[i], NULL) == GPTOSS_OK, "%d", i);
        }
        for (int i = 0; i < COUNT; i++) {
            const char *found = gptoss_mapped_file(maps[i].data + i, &bytes);
            CHECK(found != NULL && strcmp(found, scratch_path("many/%d", i)) == 0, "%d: %s", i,
                  found);
            CHECK(bytes == (uint64_t)i + 1, "%d", i);
        }
    }
    bytes = 7;
    CHECK(gptoss_mapped_file(maps[3].data + 4, &bytes) == NULL, "behind the end");
    CHECK(gptoss_mapped_file(&outside, &bytes) == NULL, "no map");
    CHECK(gptoss_mapped_file(NULL, &bytes) == NULL && bytes == 7, "NULL");
    const uint8_t *was = maps[3].data;
    for (int i = 0; i < COUNT; i++)
        file_map_close(&maps[i]);
    CHECK(gptoss_mapped_file(was, &bytes) == NULL, "closed");
}

/* One more than there may be; all are let go in the end. */
static void test_most(void)
{
    static file_map maps[FILE_MAPS_MAX];
    gptoss_error error = {0};
    file_map more;
    const char *path = scratch_path("often");
    scratch_write(path, "x");
    for (size_t i = 0; i < FILE_MAPS_MAX; i++)
        CHECK(file_map_open(path, &maps[i], &error) == GPTOSS_OK, "%s", error.message);
    CHECK(file_map_open(path, &more, &error) == GPTOSS_LIMIT && more.data == NULL, "one more");
    CHECK(strstr(error.message, "/often: 8192 files are mapped already") != NULL, "%s",
          error.message);
    file_map_close(&maps[0]);
    CHECK(file_map_open(path, &maps[0], &error) == GPTOSS_OK, "%s", error.message);
    for (size_t i = 0; i < FILE_MAPS_MAX; i++)
        file_map_close(&maps[i]);
}

static void test_changes(void)
{
    gptoss_error error = {0};
    file_map map;
    file_map none = {0};
    const char *path = scratch_path("changing");
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1000000000}};
    scratch_write(path, "one");
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0, "an old file");
    CHECK(file_map_open(path, &map, NULL) == GPTOSS_OK, "opened");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_OK, "%s", error.message);
    scratch_write(path, "two");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_IO, "written to");
    CHECK(strstr(error.message, "/changing was written to while it was used: ") != NULL, "%s",
          error.message);
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0, "the same time again");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(truncate(path, 2) == 0 && utimensat(AT_FDCWD, path, times, 0) == 0, "cut short");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_IO, "cut short");
    CHECK(remove(path) == 0, "removed");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_OK, "%s", error.message);
    scratch_write(path, "another file");
    CHECK(file_map_unchanged(&map, path, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(file_map_unchanged(&none, path, &error) == GPTOSS_OK, "memory is no file");
    file_map_close(&map);
}

int main(void)
{
    scratch_begin();
    test_mapping();
    test_reading();
    test_addresses();
    test_most();
    test_changes();
    check_refused(scratch_path("none"), "none: No such file or directory");
    check_refused(scratch_root, "should be a regular file but is a directory");
    check_refused("/dev/null", "/dev/null should be a regular file but is a device");
    const char *pipe_path = scratch_path("pipe");
    CHECK(mkfifo(pipe_path, 0600) == 0, "mkfifo");
    check_refused(pipe_path, "should be a regular file but is a pipe");
    return test_result();
}
