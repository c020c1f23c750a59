#include "base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The group at mount/path and all above it. */
static void visit_upwards(const char *root, const char *mount, const char *path, bool version2,
                          cgroup_visit_fn visit, void *user)
{
    char directory[PATH_MAX];
    int length = snprintf(directory, sizeof directory, "%s/sys/fs/cgroup%s%s", root, mount, path);
    size_t top = strlen(root) + strlen("/sys/fs/cgroup") + strlen(mount);
    if (length < 0 || (size_t)length >= sizeof directory)
        return;
    for (;;) {
        visit(user, directory, version2);
        char *slash = strrchr(directory, '/');
        if (slash == NULL || (size_t)(slash - directory) < top)
            return;
        *slash = '\0';
    }
}

/* Whether `name` is one of the comma-separated `controllers`. */
static bool has_controller(const char *controllers, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = controllers; (at = strstr(at, name)) != NULL; at += length) {
        bool begins = at == controllers || at[-1] == ',';
        if (begins && (at[length] == '\0' || at[length] == ','))
            return true;
    }
    return false;
}

void cgroup_visit(const char *root, const char *controller, cgroup_visit_fn visit, void *user)
{
    char line[PATH_MAX];
    char mount[64];
    snprintf(mount, sizeof mount, "/%s", controller); /* of version 1 */
    int length = snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = length > 0 && length < PATH_MAX ? fopen(line, "re") : NULL;
    if (file == NULL)
        return;
    /* "hierarchy:controllers:path"; version 2 has no controllers */
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        controllers++;
        if (has_controller(controllers, controller))
            visit_upwards(root, mount, path, false, visit, user);
        else if (controllers[0] == '\0')
            visit_upwards(root, "", path, true, visit, user);
    }
    fclose(file);
}

static int read_numbers(const char *directory, const char *name, uint64_t *first, uint64_t *second)
{
    char path[PATH_MAX + 64];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "re") : NULL;
    if (file == NULL)
        return 0;
    char text[64] = ""; /* by hand: scanf takes "-1" for a huge number */
    bool read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    if (!read || text[0] < '0' || text[0] > '9')
        return 0;
    return sscanf(text, "%" SCNu64 " %" SCNu64, first, second);
}

bool cgroup_number(const char *directory, const char *name, uint64_t *out)
{
    uint64_t unused;
    return read_numbers(directory, name, out, &unused) >= 1;
}

bool cgroup_numbers(const char *directory, const char *name, uint64_t *first, uint64_t *second)
{
    return read_numbers(directory, name, first, second) == 2;
}
