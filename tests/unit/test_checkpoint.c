/* checkpoint/checkpoint, shards and naming: which files are read, and what is said of broken ones.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/naming.h"
#include "checkpoint/shards.h"
#include "scratch.h"

/* A file with one-byte tensors of these names, separated by spaces. */
static void write_tensors(const char *path, const char *names)
{
    char header[4096];
    char copy[1024];
    size_t count = 0;
    size_t used = 0;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " "), count++)
        used +=
            (size_t)snprintf(header + used, sizeof header - used,
                             "%c\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}",
                             count > 0 ? ',' : '{', name, count, count + 1);
    snprintf(header + used, sizeof header - used, "}");
    scratch_write_safetensors(path, header, count);
}

static checkpoint *opened(const char *path)
{
    gptoss_error error = {0};
    checkpoint *files = NULL;
    CHECK(checkpoint_open(path, &files, &error) == GPTOSS_OK, "%s: %s", path, error.message);
    if (files == NULL)
        exit(test_result());
    return files;
}

/* The scratch directory in what follows is written as "@". */
static void check_refused(const char *path, gptoss_status expected, const char *sentence)
{
    gptoss_error error = {0};
    checkpoint *files = NULL;
    gptoss_status status = checkpoint_open(path, &files, &error);
    char plain[sizeof error.message] = "";
    for (const char *at = error.message; *at != '\0';) {
        bool root = strncmp(at, scratch_root, strlen(scratch_root)) == 0;
        size_t used = strlen(plain);
        plain[used] = root ? '@' : *at;
        plain[used + 1] = '\0';
        at += root ? strlen(scratch_root) : 1;
    }
    CHECK(status == expected && files == NULL, "%s: status %d: %s", path, status, plain);
    CHECK(strcmp(plain, sentence) == 0, "found    %s\nexpected %s", plain, sentence);
    checkpoint_close(files);
}

static void test_single_file(void)
{
    const char *path = scratch_path("one/model.safetensors");
    write_tensors(path, "b a c");
    checkpoint *files = opened(path);
    CHECK(checkpoint_tensor_count(files) == 3, "three tensors");
    CHECK(strcmp(checkpoint_tensor(files, 0)->name, "a") == 0, "sorted");
    CHECK(checkpoint_find(files, "c") == checkpoint_tensor(files, 2), "find");
    CHECK(checkpoint_find(files, "d") == NULL, "not there");
    CHECK(strcmp(checkpoint_directory(files), scratch_path("one")) == 0, "%s",
          checkpoint_directory(files));
    CHECK(checkpoint_file_count(files) == 1, "one file");
    CHECK(strcmp(checkpoint_file_path(files, 0), path) == 0, "%s", checkpoint_file_path(files, 0));
    const tensor *a = checkpoint_tensor(files, 0);
    file_map map = checkpoint_file_map(files, 0);
    CHECK(a->data == map.data + a->offset && a->offset + 2 == map.size, "a lies in the middle");
    checkpoint_close(files);
    checkpoint_close(NULL);
    files = opened(scratch_path("one/"));
    CHECK(strcmp(checkpoint_directory(files), scratch_path("one")) == 0, "no slash at the end");
    checkpoint_close(files);
    check_refused(scratch_path("one/none.safetensors"), GPTOSS_IO,
                  "there is no file or directory @/one/none.safetensors, and it is no hub name "
                  "such as openai/gpt-oss-20b either");
}

static void test_directory(void)
{
    write_tensors(scratch_path("many/b.safetensors"), "x y");
    write_tensors(scratch_path("many/a.safetensors"), "z");
    scratch_write(scratch_path("many/.hidden.safetensors"), "");
    scratch_write(scratch_path("many/config.json"), "{}");
    checkpoint *files = opened(scratch_path("many"));
    CHECK(checkpoint_file_count(files) == 2 && checkpoint_tensor_count(files) == 3, "all files");
    CHECK(checkpoint_find(files, "z")->file == 0 && checkpoint_find(files, "x")->file == 1,
          "files by path");
    checkpoint_close(files);
    write_tensors(scratch_path("many/c.safetensors"), "z");
    check_refused(scratch_path("many"), GPTOSS_FORMAT,
                  "tensor \"z\" is in two files, @/many/a.safetensors and @/many/c.safetensors");
    scratch_write_safetensors(scratch_path("empty/a.safetensors"), "{}", 0);
    check_refused(scratch_path("empty"), GPTOSS_FORMAT, "@/empty/a.safetensors holds no tensors");
}

static void test_original(void)
{
    write_tensors(scratch_path("hub/original/model.safetensors"), "x");
    scratch_write(scratch_path("hub/config.json"), "{}");
    checkpoint *files = opened(scratch_path("hub"));
    CHECK(strcmp(checkpoint_directory(files), scratch_path("hub/original")) == 0,
          "original/ stands in");
    checkpoint_close(files);
    write_tensors(scratch_path("hub/model.safetensors"), "y");
    files = opened(scratch_path("hub"));
    CHECK(checkpoint_tensor_count(files) == 1 && checkpoint_find(files, "y") != NULL,
          "the directory's own weights come first");
    checkpoint_close(files);
}

#define INDEX(map) "{\"metadata\":{\"total_size\":3},\"weight_map\":{" map "}}"

static void test_index(void)
{
    write_tensors(scratch_path("ix/model-1.safetensors"), "a b");
    write_tensors(scratch_path("ix/model-2.safetensors"), "c");
    write_tensors(scratch_path("ix/other.safetensors"), "a b c");
    const char *index = scratch_path("ix/model.safetensors.index.json");
    scratch_write(index, INDEX("\"a\":\"model-1.safetensors\",\"b\":\"model-1.safetensors\","
                               "\"c\":\"model-2.safetensors\""));
    checkpoint *files = opened(scratch_path("ix"));
    CHECK(checkpoint_file_count(files) == 2 && checkpoint_tensor_count(files) == 3,
          "the files of the index only");
    checkpoint_close(files);
    files = opened(scratch_path("ix/other.safetensors"));
    CHECK(checkpoint_tensor_count(files) == 3, "a whole file beside a foreign index");
    checkpoint_close(files);
    check_refused(scratch_path("ix/model-2.safetensors"), GPTOSS_USAGE,
                  "model-2.safetensors is one of the 2 files of the checkpoint in @/ix; give the "
                  "directory");
    check_refused(index, GPTOSS_USAGE,
                  "@/ix/model.safetensors.index.json holds no weights; give its directory, @/ix");

    scratch_write(scratch_path("ix/other.safetensors.index.json"), "{}");
    files = opened(scratch_path("ix"));
    checkpoint_close(files);
    CHECK(rename(index, scratch_path("ix/new.safetensors.index.json")) == 0, "rename");
    check_refused(scratch_path("ix"), GPTOSS_FORMAT,
                  "@/ix should have one index but has 2, new.safetensors.index.json and "
                  "other.safetensors.index.json among them, and none is called "
                  "model.safetensors.index.json");
    CHECK(remove(scratch_path("ix/other.safetensors.index.json")) == 0, "remove");
    files = opened(scratch_path("ix"));
    checkpoint_close(files);
}

static void test_bad_index(void)
{
    static const struct {
        const char *text;
        gptoss_status status;
        const char *sentence;
    } cases[] = {
        {"{", GPTOSS_FORMAT, " is not valid JSON: a string is expected at byte 1 of 1"},
        {"{}", GPTOSS_FORMAT, " has no object \"weight_map\""},
        {"{\"weight_map\":[]}", GPTOSS_FORMAT, " has no object \"weight_map\""},
        {"{\"weight_map\":{}}", GPTOSS_FORMAT, " lists no tensors"},
        {INDEX("\"a\":1"), GPTOSS_FORMAT, ": the file of tensor \"a\" is not a string"},
        {INDEX("\"a\":\"../m.safetensors\""), GPTOSS_FORMAT,
         ": tensor \"a\" should be in a file of the same directory but is said to be in "
         "\"../m.safetensors\""},
        {INDEX("\"a\":\"/m.safetensors\""), GPTOSS_FORMAT,
         ": tensor \"a\" should be in a file of the same directory but is said to be in "
         "\"/m.safetensors\""},
        {INDEX("\"a\":\"m.bin\""), GPTOSS_UNSUPPORTED,
         ": tensor \"a\" is said to be in \"m.bin\", which is no .safetensors file"},
        {INDEX("\"a\":\"\""), GPTOSS_UNSUPPORTED,
         ": tensor \"a\" is said to be in \"\", which is no .safetensors file"},
        {INDEX("\"a\":\"m.safetensors\",\"a\":\"n.safetensors\""), GPTOSS_FORMAT,
         ": tensor \"a\" is listed twice"},
        {INDEX("\"zz\":\"m.safetensors\""), GPTOSS_FORMAT,
         " lists tensor \"zz\" in m.safetensors, but it is not there"},
        {INDEX("\"a\":\"n.safetensors\",\"b\":\"m.safetensors\""), GPTOSS_FORMAT,
         " lists tensor \"a\" in n.safetensors, but it is in m.safetensors"},
    };
    write_tensors(scratch_path("bad/m.safetensors"), "a b");
    write_tensors(scratch_path("bad/n.safetensors"), "c");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sentence[512];
        scratch_write(scratch_path("bad/model.safetensors.index.json"), cases[i].text);
        snprintf(sentence, sizeof sentence, "@/bad/model.safetensors.index.json%s",
                 cases[i].sentence);
        check_refused(scratch_path("bad"), cases[i].status, sentence);
    }
}

static void test_downloads(void)
{
    write_tensors(scratch_path("half/m1.safetensors"), "a");
    const char *index = scratch_path("half/model.safetensors.index.json");
    scratch_write(index, INDEX("\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\","
                               "\"c\":\"m3.safetensors\""));
    const char *begin = "@/half/model.safetensors.index.json lists 3 weight files, but 2 of them "
                        "are missing, first m2.safetensors (62 bytes are there, 3 of weights are "
                        "expected)";
    const char *end = "; run the download again, it fetches what is missing";
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%s%s", begin, end);
    check_refused(scratch_path("half"), GPTOSS_FORMAT, sentence);
    static const char *const partial[] = {
        ".cache/huggingface/download/x.incomplete", "m2.safetensors.part",
        "m2.safetensors.aria2", /* each is found before those above */
    };
    for (size_t i = 0; i < sizeof partial / sizeof *partial; i++) {
        scratch_write(scratch_path("half/%s", partial[i]), "12345");
        snprintf(sentence, sizeof sentence, "%s; @/half/%s is a download of 5 bytes so far%s",
                 begin, partial[i], end);
        check_refused(scratch_path("half"), GPTOSS_FORMAT, sentence);
    }

    write_tensors(scratch_path("aria/m.safetensors"), "a");
    scratch_write(scratch_path("aria/m.safetensors.aria2"), "");
    check_refused(scratch_path("aria"), GPTOSS_FORMAT,
                  "@/aria/m.safetensors is not complete: aria2's control file "
                  "@/aria/m.safetensors.aria2 is beside it; let the download finish");
    scratch_write(scratch_path("part/m.safetensors.part"), "");
    check_refused(scratch_path("part"), GPTOSS_FORMAT,
                  "@/part has no complete *.safetensors file: m.safetensors.part is a download "
                  "that did not finish");

    const char *link = scratch_path("models--a--b/snapshots/c0/model.safetensors");
    scratch_parents(link);
    check_refused(scratch_path("models--a--b/snapshots/c0"), GPTOSS_IO,
                  "the snapshot of a/b in @/models--a--b/snapshots/c0 has no *.safetensors file; "
                  "`hf download a/b --exclude \"*/*\"` fetches them");
    scratch_write(scratch_path("models--a--b/blobs/0123.incomplete"), "");
    check_refused(scratch_path("models--a--b/snapshots/c0"), GPTOSS_FORMAT,
                  "@/models--a--b/snapshots/c0 has no *.safetensors file: "
                  "@/models--a--b/snapshots/c0/../../blobs/0123.incomplete is a download that did "
                  "not finish; run it again");
    CHECK(symlink("../../blobs/0123", link) == 0, "symlink");
    check_refused(scratch_path("models--a--b/snapshots/c0"), GPTOSS_IO,
                  "@/models--a--b/snapshots/c0/model.safetensors cannot be reached: No such file "
                  "or directory");
    write_tensors(scratch_path("models--a--b/blobs/0123"), "a");
    checkpoint_close(opened(scratch_path("models--a--b/snapshots/c0")));
}

static void make_link(const char *target, const char *path)
{
    scratch_parents(path);
    CHECK(symlink(target, path) == 0, "%s", path);
}

/* What an index names must lie in its directory, or in the blobs of its hub cache. */
static void test_links(void)
{
    const char *index = INDEX("\"a\":\"m.safetensors\"");
    const char *refused =
        "lists @/links/m.safetensors, which is a link out of the checkpoint's directory, to "
        "@/elsewhere/other.safetensors; only links into the blobs of a hub cache are followed";
    char sentence[512];
    write_tensors(scratch_path("elsewhere/other.safetensors"), "a");
    scratch_write(scratch_path("links/model.safetensors.index.json"), index);
    make_link("../elsewhere/other.safetensors", scratch_path("links/m.safetensors"));
    snprintf(sentence, sizeof sentence, "@/links/model.safetensors.index.json %s", refused);
    check_refused(scratch_path("links"), GPTOSS_FORMAT, sentence);
    make_link("links", scratch_path("linked"));
    snprintf(sentence, sizeof sentence,
             "@/linked/model.safetensors.index.json lists @/linked/m.safetensors%s",
             strstr(refused, ", which"));
    check_refused(scratch_path("linked"), GPTOSS_FORMAT, sentence);
    CHECK(remove(scratch_path("links/model.safetensors.index.json")) == 0, "no index");
    checkpoint_close(opened(scratch_path("links")));

    /* Inside of the directory, and through a directory that is a link itself. */
    write_tensors(scratch_path("inside/..data/weights"), "a");
    make_link("..data/weights", scratch_path("inside/m.safetensors"));
    scratch_write(scratch_path("inside/model.safetensors.index.json"), index);
    checkpoint_close(opened(scratch_path("inside")));
    make_link("inside", scratch_path("through"));
    checkpoint_close(opened(scratch_path("through")));
    checkpoint_close(opened(scratch_path("inside/../through")));

    /* The hub's cache, also for files in a directory of the snapshot. */
    write_tensors(scratch_path("models--c--d/blobs/77"), "a");
    scratch_write(scratch_path("models--c--d/blobs/88"), index);
    make_link("../../blobs/77", scratch_path("models--c--d/snapshots/c1/m.safetensors"));
    make_link("../../blobs/88",
              scratch_path("models--c--d/snapshots/c1/model.safetensors.index.json"));
    checkpoint_close(opened(scratch_path("models--c--d/snapshots/c1")));
    make_link("../../../blobs/77",
              scratch_path("models--c--d/snapshots/c2/original/m.safetensors"));
    make_link("../../../blobs/88",
              scratch_path("models--c--d/snapshots/c2/original/model.safetensors.index.json"));
    checkpoint_close(opened(scratch_path("models--c--d/snapshots/c2")));

    /* Another repository's blobs, and a blob that is a link in turn. */
    make_link("../../../models--c--d/blobs/77",
              scratch_path("models--e--f/snapshots/c1/m.safetensors"));
    scratch_write(scratch_path("models--e--f/snapshots/c1/model.safetensors.index.json"), index);
    check_refused(
        scratch_path("models--e--f/snapshots/c1"), GPTOSS_FORMAT,
        "@/models--e--f/snapshots/c1/model.safetensors.index.json lists "
        "@/models--e--f/snapshots/c1/m.safetensors, which is a link out of the "
        "checkpoint's directory, to @/models--c--d/blobs/77; only links into the blobs of "
        "a hub cache are followed");
    make_link("../../elsewhere/other.safetensors", scratch_path("models--g--h/blobs/99"));
    make_link("../../blobs/99", scratch_path("models--g--h/snapshots/c1/m.safetensors"));
    scratch_write(scratch_path("models--g--h/snapshots/c1/model.safetensors.index.json"), index);
    check_refused(scratch_path("models--g--h/snapshots/c1"), GPTOSS_FORMAT,
                  "@/models--g--h/snapshots/c1/model.safetensors.index.json lists "
                  "@/models--g--h/snapshots/c1/m.safetensors, which is a link out of the "
                  "checkpoint's directory, to @/elsewhere/other.safetensors; only links into the "
                  "blobs of a hub cache are followed");
}

static void test_nothing(void)
{
    scratch_write(scratch_path("no/readme"), "");
    check_refused(scratch_path("no"), GPTOSS_IO,
                  "@/no has no *.safetensors file and neither has its subdirectory original/");
    scratch_write(scratch_path("no/metal/model.bin"), "");
    check_refused(scratch_path("no"), GPTOSS_UNSUPPORTED,
                  "@/no has no *.safetensors file, only metal/model.bin, whose format is not read "
                  "here");
    scratch_write(scratch_path("no/model.gguf"), "");
    check_refused(scratch_path("no"), GPTOSS_UNSUPPORTED,
                  "@/no has no *.safetensors file, and model.gguf is in a format that is not read "
                  "here");
    scratch_write(scratch_path("lfs/model.safetensors"),
                  "version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 7\n");
    check_refused(scratch_path("lfs"), GPTOSS_FORMAT,
                  "@/lfs/model.safetensors is a Git LFS pointer of 64 bytes, not the 7 bytes of "
                  "weights it stands for; fetch them with `git lfs pull`");
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_names(void)
{
    static const struct {
        gptoss_layout layout;
        weight_role role;
        const char *name; /* NULL: the layout has none */
    } cases[] = {
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_EMBEDDING, "embedding.weight"},
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_QKV, "block.12.attn.qkv.weight"},
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_Q, NULL},
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_GATE_UP, NULL},
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_GATE_UP_BLOCKS, "block.12.mlp.mlp1_weight.blocks"},
        {GPTOSS_LAYOUT_ORIGINAL, WEIGHT_DOWN_BIAS, "block.12.mlp.mlp2_bias"},
        {GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_UNEMBEDDING, "lm_head.weight"},
        {GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_QKV, NULL},
        {GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_SINKS, "model.layers.12.self_attn.sinks"},
        {GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_GATE_UP, NULL},
        {GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_DOWN_SCALES,
         "model.layers.12.mlp.experts.down_proj_scales"},
        {GPTOSS_LAYOUT_HF, WEIGHT_GATE_UP, "model.layers.12.mlp.experts.gate_up_proj"},
        {GPTOSS_LAYOUT_HF, WEIGHT_GATE_UP_BLOCKS, NULL},
        {GPTOSS_LAYOUT_HF, WEIGHT_GATE_UP_BIAS, "model.layers.12.mlp.experts.gate_up_proj_bias"},
    };
    char name[SAFETENSORS_MAX_NAME];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool has = naming_of(cases[i].layout, cases[i].role, 12, name);
        CHECK(has == (cases[i].name != NULL), "role %d of %s", cases[i].role,
              gptoss_layout_name(cases[i].layout));
        if (has && cases[i].name != NULL)
            CHECK(strcmp(name, cases[i].name) == 0, "%s", name);
    }
    /* Tensors of a model with one layer, as published. */
    static const size_t counts[] = {15 + 3, 19 + 3, 17 + 3};
    for (int layout = 0; layout < 3; layout++) {
        size_t count = 0;
        for (int role = 0; role < WEIGHT_ROLE_COUNT; role++)
            count += naming_of((gptoss_layout)layout, (weight_role)role, 0, name);
        CHECK(count == counts[layout], "%zu in layout %d", count, layout);
    }
}

static void test_detect(void)
{
    static const struct {
        const char *tensors;
        gptoss_status status;
        gptoss_layout layout;
        const char *sentence;
    } cases[] = {
        {"embedding.weight block.0.mlp.mlp1_weight.blocks", GPTOSS_OK, GPTOSS_LAYOUT_ORIGINAL, ""},
        {"model.embed_tokens.weight model.layers.0.mlp.experts.gate_up_proj_blocks", GPTOSS_OK,
         GPTOSS_LAYOUT_HF_MXFP4, ""},
        {"model.embed_tokens.weight model.layers.0.mlp.experts.gate_up_proj", GPTOSS_OK,
         GPTOSS_LAYOUT_HF, ""},
        {"a b", GPTOSS_FORMAT, 0,
         "is no gpt-oss checkpoint: neither embedding.weight nor model.embed_tokens.weight is "
         "among its 2 tensors (the first is \"a\")"},
        {"embedding.weight model.embed_tokens.weight", GPTOSS_FORMAT, 0, "holds two models"},
        {"embedding.weight", GPTOSS_FORMAT, 0,
         "has no experts of layer 0: block.0.mlp.mlp1_weight.blocks is missing"},
        {"embedding.weight block.0.mlp.mlp1_weight", GPTOSS_UNSUPPORTED, 0,
         "its experts are unquantised under OpenAI's names"},
        {"model.embed_tokens.weight", GPTOSS_FORMAT, 0,
         "has no experts of layer 0: model.layers.0.mlp.experts.gate_up_proj_blocks (or "
         "gate_up_proj) is missing"},
        {"model.embed_tokens.weight model.layers.0.mlp.experts.0.gate_proj.weight",
         GPTOSS_UNSUPPORTED, 0, "its experts are separate tensors (experts.0.gate_proj)"},
        {"model.embed_tokens.weight model.layers.0.mlp.gate_proj.weight", GPTOSS_UNSUPPORTED, 0,
         "its layer 0 has no experts"},
        {"model.embed_tokens.weight model.layers.0.mlp.experts.gate_up_proj "
         "model.layers.0.mlp.experts.gate_up_proj_blocks",
         GPTOSS_FORMAT, 0, "holds layer 0's experts twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_tensors(scratch_path("names/m.safetensors"), cases[i].tensors);
        checkpoint *files = opened(scratch_path("names"));
        gptoss_error error = {0};
        gptoss_layout layout = GPTOSS_LAYOUT_ORIGINAL;
        gptoss_status status = naming_detect(files, &layout, &error);
        CHECK(status == cases[i].status && (status != GPTOSS_OK || layout == cases[i].layout),
              "%s: status %d, %s", cases[i].tensors, status, error.message);
        CHECK(strstr(error.message, cases[i].sentence) != NULL, "%s: %s", cases[i].tensors,
              error.message);
        checkpoint_close(files);
    }
    CHECK(strcmp(gptoss_layout_name(GPTOSS_LAYOUT_ORIGINAL), "original") == 0 &&
              strcmp(gptoss_layout_name(GPTOSS_LAYOUT_HF_MXFP4), "hf-mxfp4") == 0 &&
              strcmp(gptoss_layout_name(GPTOSS_LAYOUT_HF), "hf") == 0,
          "names of the layouts");
}

int main(void)
{
    scratch_begin();
    test_single_file();
    test_directory();
    test_original();
    test_index();
    test_bad_index();
    test_downloads();
    test_links();
    test_nothing();
    test_names();
    test_detect();
    return test_result();
}
