#!/usr/bin/env bash
# Describing a checkpoint, for people and for scripts.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

for layout in original hf-mxfp4 hf; do
    "$make_checkpoint" -o $layout --preset tiny --layout $layout >/dev/null
    run inspect -m $layout --json
    expect_status 0
    expect_err
    expect_json out $layout layout
    expect_json out 4 layers
    expect_json out 6 experts
    expect_json out 2 experts_per_token
    expect_json out 256 vocab
    expect_json out 64 hidden
    expect_json out 'array 4' layer_types
    expect_json out sliding layer_types 0
    expect_json out full layer_types 1
    file=$(json out bytes file)
    expect "bytes.file is the size of the files" \
        test "$(cat $layout/*.safetensors | wc -c)" == "$file"
    for key in 'parameters total' 'parameters active' 'bytes per_token' 'bytes per_token_packed' \
        'bytes per_token_sketch' 'bytes per_token_both' \
        'memory weights' 'memory cache' 'memory scratch' 'memory machine' 'memory available'; do
        # shellcheck disable=SC2086
        expect "$key is more than nothing" test "$(json out $key)" -gt 0
    done
    both=$(json out bytes per_token_both)
    expect "packing and a sketch save more together" \
        test "$both" -le "$(json out bytes per_token_sketch)" -a "$both" -le "$(json out bytes per_token_packed)"
    json out parameters total >>totals
done
expect "the layouts have the same parameters" test "$(sort -u totals | wc -l)" == 1

# The cache grows with the context, the scratch with the chunk.
run inspect -m hf --json -c 16
small=$(json out memory cache)
run inspect -m hf --json -c 1024
expect "a larger context takes more" test "$(json out memory cache)" -gt "$small"
run inspect -m hf --json -c 16 --cache-type f32
expect "floats take twice as much" test "$(json out memory cache)" == $((2 * small))
run inspect -m hf --json --chunk 1
small=$(json out memory scratch)
run inspect -m hf --json --chunk 512
expect "a larger chunk takes more" test "$(json out memory scratch)" -gt "$small"

# For people.
run inspect -m hf-mxfp4
expect_status 0
expect_err
for line in '^layout hf-mxfp4 ' '^  layers +4 \(2 sliding, 2 full\)$' '^  experts +6, 2 for each token$' \
    '^parameters$' '^memory for a context of [0-9,]+ tokens$' '^  cache +[0-9.]+ (B|.iB)$' '^files$'; do
    expect_line out "$line"
done
run inspect -m hf-mxfp4 --tensors
expect_line out '^  model.embed_tokens.weight +BF16 +32.0 KiB  \[256, 64\]$'
count=$(grep -c '\[' out)
run inspect -m hf-mxfp4 --tensors --json
expect_json out "array $count" tensors
expect_json out lm_head.weight tensors 0 name
expect_json out 64 tensors 0 shape 1
expect_json out 32768 tensors 0 bytes

# Reading the weights.
run inspect -m hf-mxfp4 --sha256
expect_status 0
for file in hf-mxfp4/*.safetensors; do
    expect_line out "^    sha256 $(sha256sum <"$file" | cut -d' ' -f1)\$"
done
run inspect -m hf-mxfp4 --sha256 --check --json
expect_json out "$(sha256sum <hf-mxfp4/model.safetensors | cut -d' ' -f1)" files 0 sha256
expect_json out good check
run inspect -m hf-mxfp4 --check
expect_status 0
expect_line out '^check: every weight is finite'

# A scale of 255 is found, and named.
run inspect -m hf-mxfp4 --tensors --json
for ((i = 0; ; i++)); do [[ $(json out tensors $i name) == *_scales ]] && break; done
name=$(json out tensors $i name)
offset=$(json out tensors $i offset)
cp -r hf-mxfp4 bad
printf '\xff' | dd of=bad/model.safetensors bs=1 seek=$((offset + 5)) conv=notrunc status=none
run inspect -m bad
expect_status 0
run inspect -m bad --check
expect_status 1
expect_out ''
expect_line err "^gptoss: .*${name//./\\.}"
expect "one sentence" test "$(wc -l <err)" == 1

# What -m may be.
run inspect -m hf-mxfp4/model.safetensors --json
expect_status 0
expect_json out hf-mxfp4 layout
run inspect -m hf-mxfp4/ --json
expect_status 0
mkdir -p hub/models--someone--small/snapshots/abc hub/models--someone--small/refs
printf abc >hub/models--someone--small/refs/main
for file in hf-mxfp4/*; do
    ln -s "$PWD/$file" hub/models--someone--small/snapshots/abc/
done
HF_HUB_CACHE=$PWD/hub run inspect -m someone/small --json
expect_status 0
expect_json out hf-mxfp4 layout
HF_HUB_CACHE=$PWD/hub run inspect -m someone/else
expect_status 1
expect_line err '^gptoss: .*hf download someone/else'

# Files that are not what they should be.
run inspect -m absent
expect_status 1
expect_line err '^gptoss: .*absent'
mkdir empty
run inspect -m empty
expect_status 1
expect_line err '^gptoss: .*empty'
cp -r hf-mxfp4 cut
truncate -s 5000 cut/model.safetensors
run inspect -m cut
expect_status 1
expect_line err '^gptoss: .*cut/model.safetensors'
cp -r hf-mxfp4 pointer
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 123456789\n' 0 \
    >pointer/model.safetensors
run inspect -m pointer
expect_status 1
expect_line err '^gptoss: .*LFS'

finish
