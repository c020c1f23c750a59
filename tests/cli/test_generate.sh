#!/usr/bin/env bash
# Continuing a text: what goes where, and what the same seed gives.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --seed 3
summary='^gptoss: prompt 2 tokens in [0-9.]+ s \([0-9.]+/s\), generated 12 tokens in [0-9.]+ s \([0-9.]+/s\), stop: length, seed '
generate=(generate -m model --ignore-eos)

# Text mode: the prompt, then its continuation, and nothing else on standard output.
run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json
expect_status 0
cp out json.greedy
expect_line err "$summary"
expect_json out 'array 2' prompt_ids
expect_json out 259 prompt_ids 0
expect_json out 264 prompt_ids 1
expect_json out 'array 12' ids
expect_json out length stop
expect_json out 2 timings prompt_tokens
expect_json out 12 timings tokens
for key in prompt_seconds prompt_per_second seconds per_second; do
    expect "timings.$key is there" json out timings $key >/dev/null
done
greedy=$(json_list ids)
json out text >text.greedy

run "${generate[@]}" -p 'hello world' -n 12 --temp 0
expect_status 0
expect_line err "$summary"
expect "the text follows the prompt" \
    cmp -s out <(printf 'hello world'; head -c -1 text.greedy)
run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --no-display-prompt
expect "the text alone" cmp -s out <(head -c -1 text.greedy)

# One line says that this is not a chat, when the model knows the format.
expect "one hint" test "$(grep -c 'hint: ' err)" == 1
expect "hint and summary, nothing else" test "$(wc -l <err)" == 2

# Where the prompt comes from does not matter.
printf 'hello world' >prompt
cp prompt in
for source in "-f prompt" "-p -" "-f -" "--ids 259,264" "--prompt=hello\\x20world -e"; do
    # shellcheck disable=SC2086
    run "${generate[@]}" $source -n 12 --temp 0 --json
    expect_status 0
    expect "$source gives the same ids" test "$(json_list ids)" == "$greedy"
done

# Threads, chunks and the context do not change a bit of it.
for how in "-t 1" "-t 2" "-b 1" "--chunk 7" "-c 64" "--batch-size=3 --threads=2 --ctx-size=20"; do
    # shellcheck disable=SC2086
    run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json --logprobs 2 $how
    expect "$how gives the same ids" test "$(json_list ids)" == "$greedy"
    sed -E 's/"timings".*//; s/"seed": [0-9]+//' out >"bits"
    [[ -e bits.first ]] || cp bits bits.first
    expect "$how gives the same bits" cmp -s bits bits.first
done

# Sampling: the seed decides, and is told.
run "${generate[@]}" -p 'hello world' -n 12 -s 7 --json
first=$(json_list ids)
expect_json out 7 seed
run "${generate[@]}" -p 'hello world' -n 12 --seed 7 --json -t 1 --chunk 1
expect "the same seed gives the same ids" test "$(json_list ids)" == "$first"
run "${generate[@]}" -p 'hello world' -n 12 --seed 8 --json
expect "another seed gives others" test "$(json_list ids)" != "$first"
run "${generate[@]}" -p 'hello world' -n 12 --json
drawn=$(json out seed)
again=$(json_list ids)
run "${generate[@]}" -p 'hello world' -n 12 -s "$drawn" --json
expect "the seed that was drawn gives the same ids" test "$(json_list ids)" == "$again"
run "${generate[@]}" -p 'hello world' -n 12 -s 7 --top-k 1 --json
expect "top-k 1 is greedy" test "$(json_list ids)" == "$greedy"
run "${generate[@]}" -p 'hello world' -n 12 -s 7 --top-p 0.0001 --json
expect "a tiny top-p is greedy" test "$(json_list ids)" == "$greedy"
run "${generate[@]}" -p 'hello world' -n 12 -s 7 --min-p 1 --json
expect "min-p 1 is greedy" test "$(json_list ids)" == "$greedy"

# generation_config.json sets the defaults, flags win.
cp -r model configured
printf '{"do_sample": false, "eos_token_id": []}' >configured/generation_config.json
run generate -m configured --ignore-eos -p 'hello world' -n 12 --json
expect "do_sample false is greedy" test "$(json_list ids)" == "$greedy"
expect_json out 0 sampling temperature
run generate -m configured --ignore-eos -p 'hello world' -n 12 --temp 1 -s 7 --json
expect "--temp wins" test "$(json_list ids)" == "$first"

# Stop texts and stop tokens.
fifth=$(json json.greedy ids 4)
printf '{"do_sample": false, "eos_token_id": [%s]}' "$fifth" >configured/generation_config.json
run generate -m configured -p 'hello world' -n 12 --json
expect_json out token stop
expect_json out "$fifth" stop_id
expect "it ends before the token" \
    test "$(json_list ids)" == "$(cut -d, -f1-4 <<<"$greedy" | sed "s/\(^\|,\)$fifth,.*//")"
rm configured/generation_config.json
stop=$("$gptoss" tokenize -m model --decode --ids "$(json json.greedy ids 2)")
if [[ $stop =~ ^[\ -~]+$ ]]; then
    run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json --stop 'never this' --stop "$stop"
    expect_json out text stop
    expect "the text ends before it" bash -c "[[ \$('$json_get' out text) != *'$stop'* ]]"
fi

# Probabilities.
run "${generate[@]}" -p 'hello world' -n 3 --temp 0 --json --logprobs 3
expect_json out 'array 3' logprobs
expect_json out 'array 3' logprobs 0 top
expect "the likeliest is chosen" test "$(json out logprobs 0 id)" == "$(json out logprobs 0 top 0 id)"
expect "with its probability" \
    test "$(json out logprobs 0 logprob)" == "$(json out logprobs 0 top 0 logprob)"
run "${generate[@]}" -p 'hello world' -n 3 --temp 0 --logprobs 2
expect "a line for each token" test "$(grep -cE '^[0-9]+ ".*" -?[0-9.]+  \| ' err)" == 3
run "${generate[@]}" -p 'hello world' -n 3 --temp 0 --json
expect "no probabilities unless asked" bash -c '! grep -q logprobs out'

# Without a tokenizer: ids in, ids out.
make_model bare --seed 3
rm bare/tokenizer.json
run generate -m bare --ids 259,264 -n 12 --temp 0 --ignore-eos
expect_status 0
expect_out "$(tr , ' ' <<<"$greedy")\n"
run generate -m bare -p hello
expect_status 1
expect_line err '^gptoss: .*tokenizer.json'
run generate -m bare --ids 1 --stop x
expect_status 1

# Nothing to generate is fine.
run "${generate[@]}" -p 'hello world' -n 0
expect_status 0
expect_out 'hello world'
run "${generate[@]}" -p 'hello world' -n 0 --json
expect_json out 'array 0' ids

# The context.
run "${generate[@]}" -p 'hello world' -c 6 --temp 0 --json
expect_status 0
expect_json out length stop
expect "the context holds prompt and text" bash -c \
    "n=\$('$json_get' out timings tokens); ((n == 4 || n == 5))"
run "${generate[@]}" -p 'hello world hello world' -c 2
expect_status 1
expect_out ''
expect_err 'gptoss: the prompt has 5 tokens, the context holds 2'
run "${generate[@]}" -p a -c 1000000
expect_status 2
expect_line err '^gptoss generate: --ctx-size: the model is made for at most [0-9]+ positions, found 1000000$'

# Memory is foreseen: 295 KB of cache for each of a million tokens. All its tokens are end tokens.
"$make_checkpoint" -o wide --preset tiny --layers 36 --heads 64 --kv-heads 64 --head-dim 64 \
    --vocab 16 --rope-original 32768 --rope-factor 32 --context 1048576 >/dev/null
printf '{"eos_token_id": [%s]}' "$(seq -s , 0 15)" >wide/generation_config.json
run generate -m wide --ids 1 -c 1048576
expect_status 1
expect_out ''
expect_line err '^gptoss: not enough memory for a context of 1048576 tokens: the cache takes [0-9.]+ GiB and the work space [0-9.]+ .iB, [0-9.]+ .iB is available; a smaller -c or --chunk takes less$'
run generate -m wide --ids 1 --json
expect_status 0
expect_json out token stop
expect_line err '^gptoss: context reduced from 1048576 to [0-9]+ tokens: [0-9.]+ .iB of memory is available$'
run generate -m wide --ids 1 -n 5 --json
expect_status 0
expect "five tokens fit" bash -c '! grep -q reduced err'

# Mistakes.
run "${generate[@]}" -p ''
expect_status 2
expect_err 'gptoss generate: expected a prompt of at least one token, found an empty one'
run "${generate[@]}" --ids 300
expect_status 2
expect_err "gptoss generate: expected token ids below the vocabulary's 300, found 300"
run generate -m nowhere -p a
expect_status 1
expect_line err '^gptoss: .*nowhere'
expect "one sentence" test "$(wc -l <err)" == 1
run generate -m model --tokenizer nowhere.json --ids 1
expect_status 1

# What is being done.
run "${generate[@]}" -p 'hello world' -n 1 -v
expect_line err '^gptoss: opened model'
expect_line err '^gptoss: opened the tokenizer'
expect_line err '^gptoss: context 3: cache '
expect_line err '^gptoss: computing on [0-9]+ (pinned )?threads with (plain|avx2|avx512(-vnni|-bf16)?|amx) kernels, .* in f32 with inputs of products in bf16$'

# How it is computed stands in the object: bfloat16's grade, unless something else is asked for.
expect_json json.greedy bf16 run precision
run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json --precision q8 --cpu plain -t 1
expect_status 0
expect_json out q8 run precision
expect_json out plain run cpu
expect_json out 1 run threads

# float32 is the same at every level that the processor has; the others are refused.
run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json --precision f32 --logprobs 2 -s 1
cp out json.f32
highest=$(json out run cpu)
for level in plain avx2 avx512 avx512-vnni avx512-bf16 amx; do
    run "${generate[@]}" -p 'hello world' -n 12 --temp 0 --json --precision f32 --logprobs 2 -s 1 \
        --cpu "$level"
    if [[ $status == 0 ]]; then
        expect_json out "$level" run cpu
        expect "--cpu $level gives the same numbers" \
            cmp -s <(sed 's/"timings":.*//' out) <(sed 's/"timings":.*//' json.f32)
        [[ $level != "$highest" ]] || highest=passed
    else
        expect "$level is above the processor's" test "$highest" == passed
        expect_status 1
        expect_line err '^gptoss: the instructions to use: expected at most (plain|avx2|avx512(-vnni|-bf16)?), which is all that this processor and this build have, found '"$level\$"
    fi
done
expect 'the highest level can be asked for' test "$highest" == passed

# Batches of many rows go through BLAS when that is asked for, or at the plain level with bf16.
prompt='one two three four five six seven eight nine ten eleven twelve'
for precision in f32 bf16; do
    run "${generate[@]}" -p "$prompt" -n 4 --temp 0 --json --precision $precision --gemm own
    expect_status 0
    expect_json out own run gemm
    own=$(json out text)
    run "${generate[@]}" -p "$prompt" -n 4 --temp 0 --json --precision $precision --gemm blas -v
    if "$gptoss" --version | grep -q '^built with: .*OpenBLAS'; then
        expect_status 0
        expect_json out blas run gemm
        expect_json out "$own" text
        expect_line err '^gptoss: batches of many rows are multiplied by OpenBLAS [0-9.]+'
        built=blas
    else
        expect_status 2
        expect_line err '^gptoss generate: --gemm blas: this program was built without BLAS$'
        built=own
    fi
done
run "${generate[@]}" -p "$prompt" -n 1 --json --cpu plain
expect_json out "$built" run gemm
run "${generate[@]}" -p "$prompt" -n 1 --json --cpu plain --precision f32
expect_json out own run gemm
if [[ $built == blas ]]; then
    run "${generate[@]}" -p hello -n 1 --precision q8 --gemm blas
    expect_status 2
    expect_err 'gptoss generate: --gemm blas: expected precision f32 or bf16 and numerics f32, found precision q8'
    run dump -m model --ids 1,2 -o file --numerics torch-bf16 --gemm blas
    expect_status 2
    expect_err 'gptoss dump: --gemm blas: expected precision f32 or bf16 and numerics f32, found numerics torch-bf16'
fi

# The environment holds a level too, and the flag goes before it.
export GPTOSS_CPU=plain
run "${generate[@]}" -p 'hello world' -n 1 --json
expect_json out plain run cpu
export GPTOSS_CPU=nonsense
run "${generate[@]}" -p 'hello world' -n 1 --json --cpu plain
expect_status 0
expect_json out plain run cpu
run "${generate[@]}" -p 'hello world' -n 1
expect_status 2
expect_line err '^gptoss: GPTOSS_CPU: expected plain, avx2, avx512, avx512-vnni, avx512-bf16 or amx, found "nonsense"$'
unset GPTOSS_CPU

finish
