/* The control groups that this process is in. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Called with the directory of a group's files, of version 2 or of version 1. */
typedef void (*cgroup_visit_fn)(void *user, const char *directory, bool version2);

/*
 * Visits the group that has this controller ("memory", "cpu") and all groups above it, read from
 * the files below `root` ("" for the running system). Inside a container the path may name places
 * that only the host can see: then files are missing there.
 */
void cgroup_visit(const char *root, const char *controller, cgroup_visit_fn visit, void *user);

/* The number that the file `name` of a directory begins with; false when there is none, as in
 * "max". */
bool cgroup_number(const char *directory, const char *name, uint64_t *out);

/* The two numbers that it begins with. */
bool cgroup_numbers(const char *directory, const char *name, uint64_t *first, uint64_t *second);

#endif
