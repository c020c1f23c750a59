/* base/map: regular files are mapped, everything else is refused with a sentence and no waiting. */
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
}

int main(void)
{
    scratch_begin();
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

    check_refused(scratch_path("none"), "none: No such file or directory");
    check_refused(scratch_root, "should be a regular file but is a directory");
    check_refused("/dev/null", "/dev/null should be a regular file but is a device");
    const char *pipe_path = scratch_path("pipe");
    CHECK(mkfifo(pipe_path, 0600) == 0, "mkfifo");
    check_refused(pipe_path, "should be a regular file but is a pipe");
    return test_result();
}
