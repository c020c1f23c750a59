/* op/parallel: who runs where, that affinities are afterwards what they were, and that all units of
 * work are done once. */
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/cores.h"
#include "check.h"
#include "gptoss.h"
#include "op/parallel.h"

#define MOST 64

typedef struct seen {
    uint32_t size;
    int processor[MOST];
    int allowed[MOST]; /* processors in the mask */
} seen;

static void look(const team *self, void *user)
{
    seen *s = user;
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (self->rank == 0)
        s->size = self->size;
    sched_getaffinity(0, sizeof mask, &mask);
    s->allowed[self->rank] = CPU_COUNT(&mask);
    s->processor[self->rank] = sched_getcpu();
    team_wait(self);
}

static void check_places(void)
{
    uint16_t processors[MOST];
    uint16_t far[MOST];
    seen s = {0};
    uint32_t cores = cores_list(processors, MOST);
    cores = cores < MOST ? cores : MOST;
    int before;
    look(&(team){0, 1, &(team_barrier){0}}, &s);
    before = s.allowed[0];
    for (uint32_t threads = 1; threads <= cores; threads++) {
        parallel_run_on(threads, processors, look, &s);
        for (uint32_t i = 0; i < s.size; i++)
            CHECK(s.processor[i] == processors[i] && s.allowed[i] == 1, "thread %u of %u is on %d",
                  i, threads, s.processor[i]);
        parallel_run(threads, look, &s);
        for (uint32_t i = 0; i < s.size; i++)
            CHECK(s.allowed[i] == before, "thread %u of %u may use %d, not %d", i, threads,
                  s.allowed[i], before);
    }
    for (uint32_t i = 0; i < MOST; i++)
        far[i] = CORES_MOST - 1;
    parallel_run_on(2, far, look, &s);
    CHECK(s.allowed[0] == before, "a processor that is not there");
}

/* ---- work in units --------------------------------------------------------------------------- */

/* Work of three parts, and pieces that are taken behind it. */
enum { PARTS = 3, OTHERS = 5 };

typedef struct shared_work {
    size_t units[PARTS];
    atomic_int seen[PARTS][MOST * MOST];
    atomic_int others[OTHERS];
    atomic_bool late; /* a thread's first run was not the one that is dealt out to it */
} shared_work;

static size_t units_of(const void *of, size_t part)
{
    const shared_work *s = of;
    return s->units[part];
}

static void do_units(const team *self, void *user)
{
    shared_work *s = user;
    size_t all = s->units[0] + s->units[1] + s->units[2];
    size_t own = all / 4 * 3 * self->rank / self->size; /* where this thread should begin */
    bool first = all >= 4 * (size_t)self->size;
    team_work work = team_begin(self, (team_parts){PARTS, units_of, s});
    for (; team_next(&work); first = false) {
        size_t before = work.part == 0 ? 0 : s->units[0] + (work.part == 2 ? s->units[1] : 0);
        if (first && before + work.begin != own)
            atomic_store(&s->late, true);
        for (size_t unit = work.begin; unit < work.end; unit++)
            atomic_fetch_add(&s->seen[work.part][unit], 1);
    }
    for (size_t taken = work.taken; taken - work.pieces < OTHERS; taken = team_take(self))
        atomic_fetch_add(&s->others[taken - work.pieces], 1);
    team_wait(self);
}

/* Every unit and every other piece goes to one thread, and nothing else is done. */
static void check_work(void)
{
    static const size_t cases[][PARTS] = {{0, 0, 0}, {1, 0, 0},    {0, 1, 2},     {3, 0, 1},
                                          {5, 7, 9}, {40, 40, 40}, {180, 90, 33}, {1, 2880, 7}};
    for (uint32_t threads = 1; threads <= 5; threads++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            static shared_work s;
            memset(&s, 0, sizeof s);
            memcpy(s.units, cases[i], sizeof s.units);
            parallel_run(threads, do_units, &s);
            bool good = !atomic_load(&s.late);
            for (size_t part = 0; part < PARTS; part++)
                for (size_t unit = 0; unit < MOST * MOST; unit++)
                    good = good && s.seen[part][unit] == (unit < s.units[part]);
            for (size_t piece = 0; piece < OTHERS; piece++)
                good = good && s.others[piece] == 1;
            CHECK(good, "case %zu on %u threads", i, threads);
        }
    }
}

/* ---- executors ------------------------------------------------------------------------------- */

static bool pinned(const gptoss_model *model, uint32_t threads, gptoss_pinning pinning)
{
    gptoss_executor *executor = NULL;
    gptoss_error error = {.message = ""};
    gptoss_executor_options options = {.threads = threads, .chunk = 1, .pinning = pinning};
    gptoss_status status = gptoss_executor_open(model, &options, &executor, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    bool found = status == GPTOSS_OK && gptoss_executor_pinned(executor);
    gptoss_executor_close(executor);
    return found;
}

static void check_executors(void)
{
    gptoss_model *model = NULL;
    gptoss_error error = {.message = ""};
    uint16_t processors[MOST];
    uint32_t cores = cores_list(processors, MOST);
    CHECK(gptoss_model_open(GPTOSS_SOURCE_DIR "/models/austen", &model, &error) == GPTOSS_OK, "%s",
          error.message);
    if (cores > 1 && parallel_limit() > 1) {
        CHECK(!pinned(model, cores - 1, GPTOSS_PIN_AUTO), "fewer threads than cores");
        CHECK(pinned(model, cores - 1, GPTOSS_PIN_ON), "fewer threads than cores, as wished");
        CHECK(!pinned(model, cores + 1, GPTOSS_PIN_ON), "more threads than cores");
    }
    if (cores <= parallel_limit())
        CHECK(pinned(model, cores, GPTOSS_PIN_AUTO) == !parallel_binds(), "as many as cores");
    CHECK(!pinned(model, cores, GPTOSS_PIN_OFF), "off");
    gptoss_executor_options wrong = {.pinning = (gptoss_pinning)3};
    gptoss_executor *executor = NULL;
    CHECK(gptoss_executor_open(model, &wrong, &executor, &error) == GPTOSS_USAGE && !executor,
          "no such pinning");
    gptoss_model_close(model);
}

int main(void)
{
    check_places();
    check_work();
    check_executors();
    return test_result();
}
