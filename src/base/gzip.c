#include "base/gzip.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST /* next_in points to const */
#include <zlib.h>

enum {
    GZIP_WINDOW = 15 + 16, /* zlib's window bits: the largest window, in gzip's wrapping only */
    NOWHERE = 64 << 10,    /* bytes inflated at once to be thrown away */
};

/* A file on its way through zlib, whose counters have fewer bits than a size. */
typedef struct gunzip {
    z_stream stream;
    const char *path;
    const uint8_t *next; /* what zlib has not been given yet */
    size_t left;
    gptoss_error *error;
} gunzip;

bool gzip_begins(const uint8_t *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

static gptoss_status fail_inflate(const gunzip *g, int result)
{
    if (result == Z_MEM_ERROR)
        return fail_memory(g->error, "inflating", 1 << (GZIP_WINDOW - 16));
    if (result == Z_BUF_ERROR)
        return fail(g->error, GPTOSS_FORMAT,
                    "%s is cut short: its gzip data end before the compressed file does", g->path);
    return fail(g->error, GPTOSS_FORMAT, "%s is damaged: its gzip data do not inflate (%s)",
                g->path, g->stream.msg != NULL ? g->stream.msg : "unknown fault");
}

/* At the end of a member: *more tells whether another follows. */
static gptoss_status end_member(gunzip *g, bool *more)
{
    size_t rest = g->left + g->stream.avail_in;
    *more = rest > 0;
    if (rest == 0)
        return GPTOSS_OK;
    if (!gzip_begins(g->stream.next_in, rest))
        return fail(g->error, GPTOSS_FORMAT, "%s has %zu bytes after the end of its gzip data",
                    g->path, rest);
    int result = inflateReset(&g->stream);
    return result == Z_OK ? GPTOSS_OK : fail_inflate(g, result);
}

/* Inflates until `room` bytes at `out` are full or the file ends; *made becomes how many. */
static gptoss_status inflate_some(gunzip *g, uint8_t *out, size_t room, size_t *made, bool *more)
{
    *made = 0;
    *more = true;
    while (*made < room && *more) {
        size_t want = room - *made < UINT_MAX ? room - *made : UINT_MAX;
        if (g->stream.avail_in == 0 && g->left > 0) {
            size_t part = g->left < UINT_MAX ? g->left : UINT_MAX;
            g->stream.next_in = g->next;
            g->stream.avail_in = (uInt)part;
            g->next += part;
            g->left -= part;
        }
        g->stream.next_out = out + *made;
        g->stream.avail_out = (uInt)want;
        int result = inflate(&g->stream, Z_NO_FLUSH);
        *made += want - g->stream.avail_out;
        gptoss_status status = GPTOSS_OK;
        if (result == Z_STREAM_END)
            status = end_member(g, more);
        else if (result != Z_OK)
            status = fail_inflate(g, result);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}

static gptoss_status begin(gunzip *g, const uint8_t *data, size_t size, const char *path,
                           gptoss_error *error)
{
    *g = (gunzip){.path = path, .next = data, .left = size, .error = error};
    int result = inflateInit2(&g->stream, GZIP_WINDOW);
    return result == Z_OK ? GPTOSS_OK : fail_inflate(g, result);
}

/* The size of the inflated file, all of which is checked on the way. */
static gptoss_status measure(const uint8_t *data, size_t size, const char *path, uint64_t limit,
                             size_t *total, gptoss_error *error)
{
    gunzip g;
    uint8_t nowhere[NOWHERE];
    bool more = true;
    *total = 0;
    gptoss_status status = begin(&g, data, size, path, error);
    while (status == GPTOSS_OK && more) {
        size_t made;
        status = inflate_some(&g, nowhere, sizeof nowhere, &made, &more);
        *total += made;
        if (status == GPTOSS_OK && *total > limit)
            status = fail(error, GPTOSS_LIMIT,
                          "%s inflates to more than the %" PRIu64 " bytes of memory available",
                          path, limit);
    }
    inflateEnd(&g.stream);
    return status;
}

gptoss_status gzip_inflate(const uint8_t *data, size_t size, const char *path, uint64_t limit,
                           uint8_t **out, size_t *length, gptoss_error *error)
{
    gunzip g;
    size_t total;
    bool more;
    *out = NULL;
    *length = 0;
    gptoss_status status = measure(data, size, path, limit, &total, error);
    if (status != GPTOSS_OK)
        return status;
    uint8_t *inflated = malloc(total > 0 ? total : 1);
    if (inflated == NULL)
        return fail_memory(error, path, total);
    status = begin(&g, data, size, path, error);
    if (status == GPTOSS_OK)
        status = inflate_some(&g, inflated, total, length, &more);
    inflateEnd(&g.stream);
    if (status != GPTOSS_OK) {
        free(inflated);
        return status;
    }
    *out = inflated;
    return GPTOSS_OK;
}
