#!/usr/bin/env bash
# Sessions: what was read and generated is kept in a file, whole or not at all.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --seed 3 --context 4096
make_model other --seed 4 --context 4096
words=$(printf 'hello world %.0s' {1..150})
generate=(generate -m model --ignore-eos --temp 0 --json)

# reused N: tokens of the prompt that were found.
reused()
{
    expect_status 0
    expect_json out "$1" timings reused_tokens
}

# As without a session, and the second time only the last token is read.
run "${generate[@]}" -p "$words" -n 12
reused 0
plain=$(json_list ids)
count=$(json out timings prompt_tokens)
run "${generate[@]}" -p "$words" -n 12 --session kept
reused 0
expect "the same ids" test "$(json_list ids)" == "$plain"
expect_line err 'and 0 found in the session, generated 12 tokens'
expect "its owner's only" test "$(stat -c %a kept)" == 600
run "${generate[@]}" -p "$words" -n 12 --session kept -v
reused $((count - 1))
expect "the same ids again" test "$(json_list ids)" == "$plain"
expect_line err "^gptoss: prompt 1 tokens in .* and $((count - 1)) found in the session, generated"
expect_line err "^gptoss: loaded $((count + 11)) tokens from kept in "
expect_line err "^gptoss: kept $((count + 11)) tokens in kept in "

# What was generated is there too; and what is different is read. Chunks and threads are free.
run "${generate[@]}" -p "$words" -n 0
prompt=$(json_list prompt_ids)
all=$prompt,$plain
run "${generate[@]}" --ids "$all,5,6" -n 7
longer=$(json_list ids)
run "${generate[@]}" --ids "$all,5,6" -n 7 --session kept -b 3 -t 1
reused $((count + 11))
expect "goes on as in one go" test "$(json_list ids)" == "$longer"
run "${generate[@]}" --ids "$prompt,9" -n 700 --chunk 7
other_way=$(json_list ids)
run "${generate[@]}" --ids "$prompt,9" -n 700 --session kept --chunk 7
reused "$count"
expect "another way from there" test "$(json_list ids)" == "$other_way"
run "${generate[@]}" -p "$words" -n 12 --session kept --chunk 7
reused $((count - 1))
expect "back over 700 tokens to the mark" test "$(json_list ids)" == "$plain"
run "${generate[@]}" -p "other words" -n 3 --session kept
reused 0

# Text mode shows the same as without.
run generate -m model --ignore-eos --temp 0 -p 'hello world' -n 12
cp out text
for _ in 1 2; do
    run generate -m model --ignore-eos --temp 0 -p 'hello world' -n 12 --session new
    expect_status 0
    expect "the same text" cmp -s out text
done

# Refusals leave the file as it is.
run "${generate[@]}" -p "$words" -n 12 --session kept
cp kept before
refused()
{
    expect_status "$1"
    expect_out ''
    expect_line err "$2"
    expect "one sentence" test "$(grep -c . err)" == 1
    expect "the file is as it was" cmp -s kept before
}
run generate -m other -p a --session kept
refused 1 '^gptoss: kept is a session with another model: expected the one of other, [0-9a-f]{16}\.\.\., found [0-9a-f]{16}\.\.\.$'
run "${generate[@]}" -p a --session kept --precision q8
refused 1 '^gptoss: kept is a session of precision bf16: expected q8, as --precision says$'
run "${generate[@]}" -p a --session kept --precision f32
refused 1 '^gptoss: kept keeps keys and values in bf16: expected f32, as --cache-type or --precision says$'
run "${generate[@]}" -p a --session kept --cache-type f32
refused 1 '^gptoss: kept keeps keys and values in bf16: expected f32, as --cache-type or --precision says$'
run "${generate[@]}" -p a --session kept -c 100
refused 1 "^gptoss: kept holds $((count + 11)) tokens: expected at most the context's 100\$"
sed 's/"command": "generate"/"command": "another!"/' kept >sealed
run "${generate[@]}" -p a --session sealed
refused 1 '^gptoss: sealed is damaged or cut short: '
digest=$(head -c -32 sealed | sha256sum | grep -oE '^[0-9a-f]{64}' | sed 's/../\\x&/g')
# shellcheck disable=SC2059
{ head -c -32 sealed; printf "$digest"; } >foreign
run "${generate[@]}" -p a --session foreign
refused 1 '^gptoss: foreign is not a session of gptoss generate; it is left as it is$'
head -c 10000 before >short
run "${generate[@]}" -p a --session short
refused 1 '^gptoss: short is damaged or cut short: it does not end with the SHA-256 of its contents$'
run "${generate[@]}" -p a --session model/model.safetensors
refused 1 '^gptoss: model/model.safetensors is no session of gptoss: '
run "${generate[@]}" -p a --session model
refused 1 '^gptoss: model should be a regular file but is a directory$'
run "${generate[@]}" -p a --session nowhere/kept
refused 1 '^gptoss: nowhere/kept: a session cannot be kept in nowhere: No such file or directory$'

# A full disk is told, after the answer, and the old session stays.
shown='a limit on the size of files'
status=0
(ulimit -f 8; exec "$gptoss" "${generate[@]}" -p "$words more" -n 12 --session kept >out 2>err) ||
    status=$?
expect_status 1
expect_json out length stop
expect_line err '^gptoss: kept: cannot take [0-9]+ bytes of disk space: File too large$'
expect "the file is as it was" cmp -s kept before
expect "nothing is left behind" bash -c '! compgen -G "kept.*.part"'

# Whenever it is killed, the file is a whole session.
for i in {1..15}; do
    shown="kill -9, number $i"
    status=0
    "$gptoss" "${generate[@]}" -p "$words $i" -n 3 --session kept >out 2>err &
    child=$!
    sleep "0.$(printf '%03d' $((RANDOM % 150)))"
    kill -9 $child 2>/dev/null || true
    wait $child 2>/dev/null || true
    run "${generate[@]}" -p "$words" -n 0 --session kept
    expect_status 0
    expect "most was found" test "$(json out timings reused_tokens)" -gt 100
done
rm -f kept.*.part

# Interrupted, what was read and generated until then is kept.
shown='gptoss generate --session long and Ctrl-C'
status=0
set -m
"$gptoss" generate -m model --ignore-eos --temp 0 -p hello -n 100000 --session long >out 2>err &
child=$!
set +m
waited=0
until [[ $(wc -c <out) -gt 100 ]] || ((waited++ > 300)); do sleep 0.1; done
kill -INT $child
wait $child || status=$?
expect_status 130
run "${generate[@]}" -p hello -n 20 --session long -v
expect_status 0
expect_line err '^gptoss: loaded [0-9]{2,} tokens from long'

finish
