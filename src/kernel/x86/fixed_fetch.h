/* Weights of the next call of `multiply`, asked for while those of this one are worked on. */
#ifndef KERNEL_X86_FIXED_FETCH_H
#define KERNEL_X86_FIXED_FETCH_H

#include "kernel/fixed.h"
#include "kernel/x86/fixed_split.h"

/*
 * Lines are asked for evenly in time, also while weights are unpacked: memory gives them one after
 * another, and where an expert has few rows it is what everything waits for. Time is counted in
 * units of the caller's, about as many as the work takes.
 */
typedef struct fetcher {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *scales; /* what comes after */
    const uint8_t *scales_end;
    size_t rate; /* lines a unit of time, times FETCH_LINE */
    size_t due;  /* lines, likewise */
} fetcher;

enum { FETCH_LINE = 1 << 16 };

/* time: all of what fetch_for will be called with. */
static inline fetcher fetch_evenly(fixed_ahead ahead, size_t time)
{
    fetcher f = {ahead.blocks, ahead.blocks, ahead.scales, ahead.scales, 0, 0};
    if (ahead.bytes == 0) /* then there may be no addresses to add to */
        return f;
    f.end += ahead.bytes;
    f.scales_end += ahead.bytes / 16;
    f.rate = ((ahead.bytes + ahead.bytes / 16) / 64 + 2) * FETCH_LINE / time + 1;
    return f;
}

FIXED_INLINE void fetch_for(fetcher *f, size_t time)
{
    f->due += time * f->rate;
    for (; f->due >= FETCH_LINE; f->due -= FETCH_LINE, f->at += 64) {
        if (f->at >= f->end) {
            f->at = f->scales;
            f->end = f->scales = f->scales_end;
            if (f->at >= f->end)
                return;
        }
        _mm_prefetch((const char *)f->at, _MM_HINT_T1);
    }
}

#endif
