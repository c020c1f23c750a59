#!/usr/bin/env bash
# Killed at any moment while it writes a file, the program leaves the file that was there before.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model
seed=${GPTOSS_KILL_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "seed $seed (GPTOSS_KILL_SEED repeats it)"
RANDOM=$seed
mkdir outputs

# killed_often TIMES FILE COMMAND...: FILE, which is there, is to be overwritten by the command.
killed_often()
{
    local times=$1 file=$2 finished=0 killed=0 longest child began
    shift 2
    cp "$file" before
    shown="gptoss $*"
    began=$(date +%s%N)
    "$gptoss" "$@" >out 2>err || complain "it fails by itself"
    longest=$((($(date +%s%N) - began) / 1000))
    cp "$file" after
    expect "another file than before" bash -c '! cmp -s before after'
    for ((i = 0; i < times; i++)); do
        cp before "$file"
        status=0
        "$gptoss" "$@" >out 2>err &
        child=$!
        sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % longest)))"
        kill -KILL $child 2>/dev/null || true
        wait $child 2>/dev/null || status=$?
        if cmp -s "$file" before; then
            killed=$((killed + 1))
        elif cmp -s "$file" after; then
            finished=$((finished + 1))
        else
            complain "the file is neither what it was nor what it should become"
        fi
        checks=$((checks + 1))
    done
    echo "$file: $killed times as before, $finished times as after"
}

"$gptoss" dump -m model --ids 1,2,3 -o outputs/dump
killed_often 60 outputs/dump dump -m model --ids "$(seq -s , 0 250)" -o outputs/dump --stages all
"$gptoss" dump -m model --ids 1,2 -o other
"$gptoss" parity --candidate other --reference other --html outputs/page.html >/dev/null
killed_often 60 outputs/page.html parity -m model --reference outputs/dump --html outputs/page.html

"$gptoss" generate -m model -p 'hello hello' -n 5 --temp 0 --session outputs/session >/dev/null 2>err
killed_often 60 outputs/session generate -m model -p 'hello world' -n 100 --temp 0 --ignore-eos \
    --session outputs/session

finish
