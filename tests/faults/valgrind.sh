#!/usr/bin/env bash
# Each command under valgrind: no read of what was never written, nothing taken that is not given
# back, whether the command does what it should or refuses. For a build with one thread and plain C
# kernels, which valgrind understands.
#
#     valgrind.sh BUILD DATA
set -euo pipefail
build=$(realpath "$1")
data=$(realpath "$2")
gptoss=$build/tools/gptoss
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
runs=0 wrong=0

# watched STATUS ARGUMENTS...: the program must end with STATUS and without findings.
watched()
{
    local expected=$1 status=0
    shift
    runs=$((runs + 1))
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=all \
        --errors-for-leak-kinds=all "$gptoss" "$@" <in >out 2>err || status=$?
    [[ $status != "$expected" ]] || return 0
    wrong=$((wrong + 1))
    echo "gptoss $* ended with $status, not $expected"
    head -n 40 err
}

"$build/tools/dev/make-checkpoint" -o model --preset tiny --vocab 300 --layout hf-mxfp4 --shards 2 \
    >made
cp "$data/tokenizer.json" model/
"$build/tests/cli/script_model" talker "$data/tokenizer.json" <"$data/chat.rules"
printf 'hello world, hello\n' >text
printf '{"prompt": "hello", "seed": 1}\n{"ids": [1, 2, 3], "n": 2}\n' >prompts.jsonl
printf '[{"role": "user", "content": "hello"}]' >chat.json
printf '[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]' \
    >tools.json
: >in

generate=(generate -m model --ignore-eos -n 4)
watched 0 "${generate[@]}" -p hello
watched 0 "${generate[@]}" -p hello --precision f32 --temp 0 --logprobs 2 --stop qq
watched 0 "${generate[@]}" --ids 1,2,3 --precision q8 --pack on --sketch on --top-k 5
watched 0 "${generate[@]}" -f text --json --top-p 0.8 --min-p 0.1
watched 0 "${generate[@]}" -p hello --session session
watched 0 "${generate[@]}" -p 'hello world' --session session
watched 0 generate -m model -f prompts.jsonl -n 3
watched 0 perplexity -m model -f text -c 4 --stride 2
watched 0 inspect -m model --check --sha256 --tensors
watched 0 inspect -m model --json
watched 0 tokenize -m model -f text
watched 0 tokenize -m model -d --ids 1,2,3
watched 0 dump -m model -p hello -o dump --stages all
gzip -k dump
watched 0 parity -m model --reference dump.gz --html page.html
watched 0 parity --candidate dump --reference dump.gz --json
watched 0 render -m model -f chat.json
watched 0 parse -m model -p '<|channel|>final<|message|>hello<|return|>' --json
watched 0 bench -m model -p 4 -n 4 -r 1
printf 'hello\n/retry\n/save saved\ncall\nshort\n/undo\n/stats\n/load saved\n/save saved.json\n' >in
printf '/load saved.json\n/thinking\n"""a\nb"""\n/reset\n' >>in
watched 0 chat -m talker --temp 0 --date none -c 500 --tools tools.json --session talk
: >in
watched 0 chat -m talker --temp 0 -p hello --json

# Refusals.
watched 2 generate
watched 1 generate -m nowhere -p hello
watched 2 "${generate[@]}" --ids 1,2,999
watched 2 parity -m model --reference text
watched 1 chat -m talker -p hello --session text
watched 1 "${generate[@]}" -p hello --session text
for path in model/*; do
    mv "$path" whole
    head -c 300 whole >"$path"
    watched 1 "${generate[@]}" -p hello
    mv whole "$path"
done

echo "$runs commands under valgrind, $wrong with findings"
[[ $wrong == 0 ]]
