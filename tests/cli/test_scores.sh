#!/usr/bin/env bash
# perplexity and dump: numbers of a model.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --seed 5
for _ in $(seq 60); do printf 'hello world, the hello of the world\n'; done >text
tokens=$("$gptoss" tokenize -m model -f text --json | tr -cd , | wc -c) # one less than tokens

run perplexity -m model -f text -c 64 --stride 32 --json
expect_status 0
expect_json out "$tokens" tokens
nll=$(json out nll)
expect "perplexity is the exponential of nll" awk \
    "BEGIN { d = exp($nll) / $(json out perplexity) - 1; exit d * d > 1e-16 }"
expect "a random model knows nothing" awk "BEGIN { exit !($nll > 3 && $nll < 12) }"
expect "stderr is small and positive" awk \
    "BEGIN { exit !($(json out stderr) > 0 && $(json out stderr) < 1) }"
run perplexity -m model -f text -c 64 --stride 32 --json -t 1 --chunk 7
expect "chunks and threads do not matter" test "$(json out nll)" == "$nll"
run perplexity -m model -f text -c 64 --stride 32
expect_line out '^tokens +[0-9,]+$'
expect_line out '^nll +[0-9.]+ \+/- [0-9.]+$'
expect_line out '^perplexity +[0-9.]+ \+/- [0-9.]+$'
cp text in
run perplexity -m model -f - -c 64 --stride 32 --json
expect_json out "$nll" nll
# Windows side by side leave the first token of each later one without a context to score it in.
run perplexity -m model -f text -c 64 --stride 64 --json
expect_json out $((tokens - tokens / 64)) tokens
# One window over a short text is the plain mean: the same as summing what generate reports.
printf 'hello' >text
run perplexity -m model -f text
expect_status 2
expect_line err 'expected a text of at least 2 tokens, found 1'
printf 'hello world' >text
run perplexity -m model -f text --json
expect_json out 1 tokens
expect_json out f32 run precision
run perplexity -m model -f text -c 4000000
expect_status 2

# Numerics that round by themselves want no other precision.
for command in "dump -o file --ids 1,2" "dump -o file --ids 1 --numerics torch-bf16"; do
    # shellcheck disable=SC2086
    run $command -m model --precision bf16
    expect_status "$([[ $command == *torch* ]] && echo 2 || echo 0)"
done
expect_err 'gptoss dump: --precision: expected f32 with numerics torch-bf16, which round by themselves, found bf16'

# Dumps: the file's header has every tensor with its shape.
run dump -m model --ids 1,2,3,4,5 -o dump.safetensors
expect_status 0
expect_out ''
expect_err
head -c 8 dump.safetensors | od -An -tu8 >length
tail -c +9 dump.safetensors | head -c "$(tr -d ' ' <length)" >header
expect_json header F32 logits dtype
expect_json header 5 logits shape 0
expect_json header 300 logits shape 1
for layer in 0 1 2 3 4; do
    expect_json header 5 hidden.$layer shape 0
    expect_json header 64 hidden.$layer shape 1
done
expect_json header I32 ids dtype
expect_json header 5 ids shape 0
expect_json header gptoss-dump-1 __metadata__ format
cp dump.safetensors first
rm model/tokenizer.json
run dump -m model --ids 1,2,3,4,5 -o dump.safetensors -t 1 --chunk 2
expect_status 0
expect "no tokenizer, other threads and chunks, the same file" cmp -s first dump.safetensors
run dump -m model --ids 1,2 -o absent/dump.safetensors
expect_status 1
expect_line err '^gptoss: .*absent/dump.safetensors'
run dump -m model --ids 1,300 -o other
expect_status 2
expect "nothing was written" bash -c '! ls other* 2>/dev/null'
# A limit on the size of files stands for a disk that is full.
shown="dump and a full disk"
status=0
(ulimit -f 4 && exec "$gptoss" dump -m model --ids 1,2,3,4,5 -o full.safetensors >out 2>err) || status=$?
expect_status 1
expect_line err '^gptoss: full\.safetensors.*: cannot take [0-9]+ bytes of disk space: File too large$'
expect "nothing was left behind" bash -c '! ls full.safetensors* 2>/dev/null'

finish
