/* parity/reference: what is read of a dump, and the sentence for each kind of broken one. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dump_file.h"
#include "parity/reference.h"

static gptoss_status open_text(const char *metadata, const char *lines, gptoss_reference **out,
                               gptoss_error *error)
{
    const char *path = scratch_path("dump.safetensors");
    dump_file_write(path, metadata, lines);
    return gptoss_reference_open(path, out, error);
}

/* ---- good ones ------------------------------------------------------------------------------- */

static const char small[] =
    "ids I32 [3] 7 8 9; hidden.0 F32 [3,2] 1 2 3 4 5 6; hidden.1 BF16 [3,2] 1 2 3 4 5 6;"
    "layers.0.q F16 [3,4]; layers.0.attention F64 [3,4]; layers.0.router F32 [3,5];"
    "layers.0.experts I64 [3,2] 4 1 0 3 2 0; layers.0.gate_up F32 [3,2,6];"
    "layers.0.activated F32 [3,2,3] 0 0 0 0 0 0 0 0 0 7 8 9; layers.0.expert_out F32 [3,2,2];"
    "layers.0.unknown U8 [0]; somebody.elses I8 [0]; layers.00.q F32 [9]; hidden.x F32 [1];"
    "logits.positions I32 [1] 2; logits F32 [1,10]";

static void test_small(void)
{
    gptoss_error error = {0};
    gptoss_reference *r;
    gptoss_status status =
        open_text("{\"format\":\"gptoss-dump-1\",\"producer\":\"a test\"}", small, &r, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status != GPTOSS_OK)
        return;
    size_t count;
    const uint32_t *ids = gptoss_reference_ids(r, &count);
    CHECK(count == 3 && ids[0] == 7 && ids[2] == 9, "%zu ids", count);
    CHECK(strcmp(gptoss_reference_metadata(r, "producer"), "a test") == 0, "metadata");
    CHECK(gptoss_reference_metadata(r, "prompt") == NULL, "no such entry");
    CHECK(gptoss_reference_is_bf16(r), "one of its tensors is BF16");
    CHECK(r->layers == 1, "%u layers", r->layers);
    CHECK(reference_has(r, GPTOSS_STAGE_EMBEDDING, 0) && reference_has(r, GPTOSS_STAGE_RESIDUAL, 0),
          "hidden states");
    CHECK(!reference_has(r, GPTOSS_STAGE_K, 0) && !reference_has(r, GPTOSS_STAGE_Q, 1),
          "what it does not have");
    CHECK(reference_type(r, GPTOSS_STAGE_Q, 0) == DTYPE_F16, "types");
    CHECK(reference_rows(r, GPTOSS_STAGE_LOGITS).count == 1 &&
              reference_rows(r, GPTOSS_STAGE_Q).count == 3,
          "the logits have their own rows");
    CHECK(reference_row(r, GPTOSS_STAGE_LOGITS, 2) == 0 &&
              reference_row(r, GPTOSS_STAGE_LOGITS, 1) == REFERENCE_NONE &&
              reference_row(r, GPTOSS_STAGE_Q, 2) == 2 &&
              reference_row(r, GPTOSS_STAGE_Q, 3) == REFERENCE_NONE,
          "rows of positions");
    double values[3];
    float_type_decode(reference_piece(r, GPTOSS_STAGE_ACTIVATED, 0, 1, 1), 0, 3, values);
    CHECK(values[0] == 7 && values[1] == 8 && values[2] == 9, "a piece");
    float_type_decode(reference_piece(r, GPTOSS_STAGE_RESIDUAL, 0, 2, 0), 1, 1, values);
    CHECK(values[0] == 6, "a row");
    const uint32_t *experts = reference_experts(r, 0, 1);
    CHECK(experts != NULL && experts[0] == 0 && experts[1] == 3, "experts");
    CHECK(reference_experts(r, 1, 0) == NULL, "experts of no layer");
    gptoss_reference_close(r);
    gptoss_reference_close(NULL);
}

static void test_selection(void)
{
    gptoss_error error = {0};
    gptoss_reference *r;
    gptoss_status status =
        open_text("{\"format\":\"gptoss-dump-1\",\"dtype\":\"bfloat16\"}",
                  "ids I64 [9]; positions I32 [4] 1 2 3 7; final_norm F32 [4,2]", &r, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status != GPTOSS_OK)
        return;
    CHECK(r->layers == 0 && r->rows == 4 && r->tokens == 9, "%zu rows", r->rows);
    CHECK(gptoss_reference_is_bf16(r), "the metadata tell");
    CHECK(reference_has_run(r, 1, 2) && reference_has_run(r, 3, 2), "1 to 3 are all there");
    CHECK(!reference_has_run(r, 0, 2) && !reference_has_run(r, 3, 3), "0 and 4 to 6 are not");
    gptoss_reference_close(r);
}

/* The golden dumps, and that a compressed one reads as it would plain. */
static void test_golden(void)
{
    static const char *const paths[] = {
        "published/openai.safetensors", "published/openai-bf16.safetensors",
        "published/transformers.safetensors", "published/transformers-bf16.safetensors.gz",
        "uneven/transformers-stages.safetensors.gz"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char path[1024];
        gptoss_error error = {0};
        gptoss_reference *r = NULL;
        snprintf(path, sizeof path, "%s/tests/golden/%s", GPTOSS_SOURCE_DIR, paths[i]);
        CHECK(gptoss_reference_open(path, &r, &error) == GPTOSS_OK, "%s", error.message);
        if (r == NULL)
            continue;
        CHECK(gptoss_reference_is_bf16(r) == (strstr(path, "bf16") != NULL), "%s", path);
        CHECK(reference_has(r, GPTOSS_STAGE_SINK_MASS, 0) &&
                  reference_has(r, GPTOSS_STAGE_LOGITS, 0),
              "%s", path);
        gptoss_reference_close(r);
    }
}

/* ---- broken ones ----------------------------------------------------------------------------- */

static const struct {
    const char *metadata;
    const char *lines;
    gptoss_status status;
    const char *sentence;
} broken[] = {
    {"{}", "ids I32 [1]; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "is no dump: its metadata have no entry \"format\", expected \"gptoss-dump-1\""},
    {"{\"format\":\"pt\"}", "ids I32 [1]; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "has the format \"pt\": expected \"gptoss-dump-1\""},
    {DUMP_FORMAT, "hidden.0 F32 [1,2]", GPTOSS_FORMAT, "tensor \"ids\" is missing"},
    {DUMP_FORMAT, "ids F32 [1]; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "tensor \"ids\" has dtype F32: expected I32 or I64"},
    {DUMP_FORMAT, "ids I32 [1,1]; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "tensor \"ids\" has 2 dimensions: expected one"},
    {DUMP_FORMAT, "ids I32 [0]; hidden.0 F32 [0,2]", GPTOSS_FORMAT, "tensor \"ids\" is empty"},
    {DUMP_FORMAT, "ids I32 [3] 5 5 -2; hidden.0 F32 [3,2]", GPTOSS_FORMAT,
     "tensor \"ids\" holds -2 at place 2: expected a number from 0 to 2147483647"},
    {DUMP_FORMAT, "ids I64 [1] 1e10; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "tensor \"ids\" holds 10000000000 at place 0"},
    {DUMP_FORMAT, "ids I32 [3]; positions I32 [2] 2 1; hidden.0 F32 [2,2]", GPTOSS_FORMAT,
     "tensor \"positions\" holds 1 at place 1: expected more than the 2 before it"},
    {DUMP_FORMAT, "ids I32 [3]; positions I32 [2] 1 1; hidden.0 F32 [2,2]", GPTOSS_FORMAT,
     "tensor \"positions\" holds 1 at place 1: expected more than the 1 before it"},
    {DUMP_FORMAT, "ids I32 [3]; positions I32 [2] 1 3; hidden.0 F32 [2,2]", GPTOSS_FORMAT,
     "tensor \"positions\" holds 3 at place 1: expected less than the number of ids, 3"},
    {DUMP_FORMAT, "ids I32 [3]; logits.positions I32 [1] 3; logits F32 [1,2]", GPTOSS_FORMAT,
     "tensor \"logits.positions\" holds 3 at place 0"},
    {DUMP_FORMAT, "ids I32 [3]; logits.positions I32 [1] 0; logits F32 [3,2]", GPTOSS_FORMAT,
     "tensor \"logits\" has 3 rows: expected 1, one for each position"},
    {DUMP_FORMAT, "ids I32 [3]", GPTOSS_FORMAT, "holds no stage"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.residual F32 [3,2]", GPTOSS_FORMAT, "holds no stage"},
    {DUMP_FORMAT, "ids I32 [3]; hidden.0 F32 [2,2]", GPTOSS_FORMAT,
     "tensor \"hidden.0\" has 2 rows: expected 3, one for each position"},
    {DUMP_FORMAT, "ids I32 [3]; hidden.0 F32 [3]", GPTOSS_FORMAT,
     "tensor \"hidden.0\" has 1 dimensions: expected 2, [rows, columns]"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.gate_up F32 [3,4]", GPTOSS_FORMAT,
     "tensor \"layers.0.gate_up\" has 2 dimensions: expected 3, [rows, experts per token, "},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.gate_up F32 [3,4,5]", GPTOSS_FORMAT,
     "tensor \"layers.0.gate_up\" is 5 wide: expected an even number"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.gate_up F32 [3,0,4]", GPTOSS_FORMAT,
     "tensor \"layers.0.gate_up\" has no columns"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.q F32 [3,0]", GPTOSS_FORMAT,
     "tensor \"layers.0.q\" has no columns"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.q I32 [3,2]", GPTOSS_FORMAT,
     "tensor \"layers.0.q\" has dtype I32: expected F32, BF16, F16 or F64"},
    {DUMP_FORMAT, "ids I32 [3]; layers.0.experts F32 [3,2]", GPTOSS_FORMAT,
     "tensor \"layers.0.experts\" has dtype F32: expected I32 or I64"},
    {DUMP_FORMAT, "ids I32 [3]; hidden.0 F32 [3,2]; hidden.7 F32 [3,4]", GPTOSS_FORMAT,
     "tensor \"hidden.7\" is 4 wide: expected 2, by the width of \"hidden.0\""},
    {DUMP_FORMAT, "ids I32 [3]; layers.1.q F32 [3,2]; layers.2.attention F32 [3,4]", GPTOSS_FORMAT,
     "tensor \"layers.2.attention\" is 4 wide: expected 2, by the width of \"layers.1.q\""},
    {DUMP_FORMAT, "ids I32 [3]; layers.1.activated F32 [3,2,2]; layers.1.gate_up F32 [3,2,2]",
     GPTOSS_FORMAT, "tensor \"layers.1.gate_up\" is 1 wide: expected 2"},
    {DUMP_FORMAT, "ids I32 [3]; layers.1.activated F32 [3,2,2]; layers.1.routing_weights F32 [3,3]",
     GPTOSS_FORMAT, "tensor \"layers.1.routing_weights\" is 3 wide: expected 2"},
    {DUMP_FORMAT, "ids I32 [1]; layers.0.experts I32 [1,2] 3 3", GPTOSS_FORMAT,
     "tensor \"layers.0.experts\" names expert 3 twice in row 0"},
    {DUMP_FORMAT, "ids I32 [1]; layers.0.experts I32 [1,2] 3 -1", GPTOSS_FORMAT,
     "tensor \"layers.0.experts\" holds -1 at place 1"},
    {DUMP_FORMAT, "ids I32 [1]; layers.0.experts I32 [1,2] 3 4; layers.0.router F32 [1,4]",
     GPTOSS_FORMAT,
     "tensor \"layers.0.experts\" names expert 4 in row 0: expected one below the router's 4"},
    {DUMP_FORMAT, "ids I32 [1]; layers.0.experts I32 [1,2] 0 1; layers.0.router F32 [1,1]",
     GPTOSS_FORMAT, "has 2 experts per token: expected at most the router's 1"},
    {DUMP_FORMAT, "ids I32 [1]; layers.0.experts I32 [1,1025]", GPTOSS_LIMIT,
     "has 1025 experts per token: expected at most 1024"},
    {DUMP_FORMAT, "ids I32 [1]; layers.1024.q F32 [1,2]", GPTOSS_LIMIT,
     "tensor \"layers.1024.q\": expected at most 1024 layers"},
    {DUMP_FORMAT, "ids I32 [1]; hidden.0 F32 [1,2]; hidden.0 F32 [1,2]", GPTOSS_FORMAT,
     "the header names tensor \"hidden.0\" twice"},
};

static void test_broken(void)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        gptoss_error error = {0};
        gptoss_reference *r = (gptoss_reference *)&error;
        gptoss_status status = open_text(broken[i].metadata, broken[i].lines, &r, &error);
        CHECK(status == broken[i].status && r == NULL, "%s: status %d", broken[i].sentence, status);
        CHECK(strstr(error.message, broken[i].sentence) != NULL &&
                  strstr(error.message, "dump.safetensors") != NULL,
              "\"%s\" instead of \"%s\"", error.message, broken[i].sentence);
    }
}

static void test_files(void)
{
    gptoss_error error = {0};
    gptoss_reference *r;
    CHECK(gptoss_reference_open(scratch_path("none"), &r, &error) == GPTOSS_IO && r == NULL,
          "a file that is not there: %s", error.message);
    CHECK(gptoss_reference_open(scratch_path("."), &r, &error) == GPTOSS_IO, "a directory");
    scratch_write(scratch_path("empty"), "");
    CHECK(gptoss_reference_open(scratch_path("empty"), &r, &error) == GPTOSS_FORMAT, "empty");
    scratch_write_bytes(scratch_path("damaged"), "\x1f\x8b\x08", 3);
    CHECK(gptoss_reference_open(scratch_path("damaged"), &r, &error) == GPTOSS_FORMAT &&
              strstr(error.message, "is cut short") != NULL,
          "%s", error.message);
}

int main(void)
{
    scratch_begin();
    test_small();
    test_selection();
    test_golden();
    test_broken();
    test_files();
    return test_result();
}
