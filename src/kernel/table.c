#include <pthread.h>

#include "kernel/kernel.h"

void kernel_table_init(kernel_table *table, cpu_features has)
{
    kernel_overlay_plain(table);
    attend_overlay_plain(&table->attend);
    dense_overlay_plain(&table->dense);
    gemm_overlay_plain(&table->gemm);
    fixed_overlay_plain(&table->fixed);
    q8_overlay_plain(&table->q8);
    bfloat_overlay_plain(&table->bfloat);
    sketch_overlay_plain(&table->sketch);
    probe_overlay_plain(&table->probe);
#if defined(GPTOSS_X86_KERNELS)
    if (has.avx2) {
        kernel_overlay_avx2(table);
        attend_overlay_avx2(&table->attend);
        dense_overlay_avx2(&table->dense);
        gemm_overlay_avx2(&table->gemm);
        fixed_overlay_avx2(&table->fixed);
        q8_overlay_avx2(&table->q8);
        sketch_overlay_avx2(&table->sketch);
        probe_overlay_avx2(&table->probe);
    }
    if (has.avx512) {
        kernel_overlay_avx512(table);
        attend_overlay_avx512(&table->attend);
        dense_overlay_avx512(&table->dense, has.fetching);
        gemm_overlay_avx512(&table->gemm);
        fixed_overlay_avx512(&table->fixed);
        sketch_overlay_avx512(&table->sketch);
        probe_overlay_avx512(&table->probe);
    }
    if (has.vnni) {
        fixed_overlay_vnni(&table->fixed);
        if (has.vbmi)
            fixed_overlay_icelake(&table->fixed, has.fetching);
        if (has.vbmi && has.zen4)
            fixed_overlay_zen4(&table->fixed);
        q8_overlay_vnni(&table->q8);
        sketch_overlay_vnni(&table->sketch, has.fetching);
    }
    if (has.bf16) {
        bfloat_overlay_panel_bf16(&table->bfloat);
        bfloat_overlay_one_bf16(&table->bfloat.lanes, has.fetching);
        bfloat_overlay_many_bf16(&table->bfloat.lanes, has.first_cache);
        table->bfloat.lanes.pays = has.bf16_doubles;
    }
    if (has.amx) {
        bfloat_overlay_one_amx(&table->bfloat.tiles);
        bfloat_overlay_many_amx(&table->bfloat.tiles);
        table->bfloat.tiles.pays = true;
    }
#else
    (void)has;
#endif
}

static kernel_table machine_table;

static void make_machine_table(void)
{
    kernel_table_init(&machine_table, cpu_level_features(cpu_settle()));
}

const kernel_table *kernel(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_machine_table);
    return &machine_table;
}
