#!/usr/bin/env bash
# Many prompts from a file with one a line.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --seed 3
generate=(generate -m model --ignore-eos)
words=$(printf 'hello world %.0s' {1..30})

# line N: that line of `out`, which is one object.
line()
{
    sed -n "$1p" out >line
}

# Each as it comes out alone, in order, with its id.
cat >prompts.jsonl <<END
{"prompt": "$words one", "id": "a \"b\"", "seed": 7}
{"prompt": "$words two", "n": 3, "id": 12.50}

{"ids": [259, 264], "n": 0}
{"prompt": "$words two", "seed": 9}
END
run "${generate[@]}" -n 12 -s 5 -f prompts.jsonl
expect_status 0
expect "one object a line" test "$(wc -l <out)" == 4
cp out all
line 1
expect_json line 'a "b"' id
expect_json line 7 seed
first=$(json line text)
line 2
expect "the id as it was" grep -q '^{"id": 12.50, "prompt_ids": \[' line
expect_json line 5 seed
expect_json line 'array 3' ids
line 3
expect "no id" grep -q '^{"prompt_ids": \[259, 264\], "ids": \[\], ' line
line 4
expect_json line 9 seed
fourth=$(json line text)
run "${generate[@]}" -n 12 -s 7 -p "$words one" --json
expect_json out "$first" text
run "${generate[@]}" -n 12 -s 9 -p "$words two" --json
expect_json out "$fourth" text

# What two prompts in a row have in common is read once.
cp all out
line 2
expect "most was found" test "$(json line timings reused_tokens)" -gt 50
run "${generate[@]}" -n 12 -s 5 -f prompts.jsonl -v
expect "a summary for each" test "$(grep -c '^gptoss: prompt ' err)" == 4
expect_line err '^gptoss: 4 of 4 prompts in [0-9.]+ s: [0-9]+ prompt tokens read, [0-9]+ found in the cache, 27 tokens generated$'
run "${generate[@]}" -n 12 -s 5 -f prompts.jsonl --chunk 5 -t 1
expect "the same, however it is cut" \
    cmp -s <(sed 's/"timings".*//' out) <(sed 's/"timings".*//' all)

# Also when much came in between: the window is 128 and a chunk 5.
printf '{"prompt": "%s", "n": 300, "seed": 1}\n' "$words one" "$words two" >long.jsonl
run "${generate[@]}" -f long.jsonl --chunk 5
expect_status 0
line 2
expect "a mark was found" test "$(json line timings reused_tokens)" -gt 50
text=$(json line text)
run "${generate[@]}" -n 300 -s 1 -p "$words two" --json
expect_json out "$text" text

# Stop texts, probabilities, sessions.
run "${generate[@]}" -n 2 -f prompts.jsonl --logprobs 2
line 4
expect_json line 'array 2' logprobs
run "${generate[@]}" -n 2 -f prompts.jsonl --session kept
expect_status 0
run "${generate[@]}" -n 2 -f prompts.jsonl --session kept
line 1
expect "found in the session" test "$(json line timings reused_tokens)" -gt 50

# Files of ids need no tokenizer.
make_model bare --seed 3
rm bare/tokenizer.json
printf '{"ids": [259, 264]}\n' >ids.jsonl
run generate -m bare --ignore-eos -n 3 -f ids.jsonl
expect_status 0
expect_json out 'array 3' ids
run generate -m bare --ignore-eos -n 3 -f prompts.jsonl
expect_status 1
expect_line err '^gptoss: .*tokenizer.json'

# A bad line is told with its number, before anything runs.
refused()
{
    expect_status 1
    expect_out ''
    expect_err "gptoss: $1"
}
printf '{"prompt": "a"}\n{"prompt": 5}\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl
expect_status 1
expect_out ''
expect_line err '^gptoss: bad.jsonl:2: byte 11: '
printf '{"prompt": "a"}\n\n{"ids": [1, 300]}\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl
refused "bad.jsonl:3: expected token ids below the vocabulary's 300, found 300"
printf '{"prompt": "a"}\n{"prompt": ""}\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl
refused 'bad.jsonl:2: expected a prompt of at least one token, found an empty one'
printf '{"prompt": "a"}\n{"ids": [1, 2, 3]}\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl -c 2
refused 'bad.jsonl:2: the prompt has 3 tokens, the context holds 2'
printf '{"prompt": "a", "stop": "b"}\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl
refused 'bad.jsonl:1: byte 23: "stop": expected "prompt", "ids", "n", "seed" or "id"'
printf '\n' >bad.jsonl
run "${generate[@]}" -n 1 -f bad.jsonl
refused 'bad.jsonl: expected a prompt on each line, found none'
run "${generate[@]}" -n 1 -f nowhere.jsonl
expect_status 1
expect_line err '^gptoss: nowhere.jsonl could not be opened: '
run "${generate[@]}" -n 1 -f prompts.jsonl -p a
expect_status 2
expect_err 'gptoss generate: expected one prompt, -p TEXT, -f FILE or --ids IDS, found more'

# Objects come as they are finished, and Ctrl-C ends it with the one under way.
make_model wide --seed 3 --context 131072
printf '{"prompt": "a", "n": 5}\n{"prompt": "b", "n": 100000}\n{"prompt": "c"}\n' >slow.jsonl
shown='gptoss generate -f slow.jsonl and Ctrl-C'
status=0
set -m
"$gptoss" generate -m wide --ignore-eos -f slow.jsonl >out 2>err &
child=$!
set +m
waited=0
until [[ $(wc -l <out) -ge 1 ]] || ((waited++ > 300)); do sleep 0.1; done
sleep 0.3
kill -INT $child
wait $child || status=$?
expect_status 130
expect "two objects" test "$(wc -l <out)" == 2
line 2
expect_json line interrupted stop
expect_line err '^gptoss: 1 of 3 prompts in '

# Nobody reads.
status=0
shown='a full disk'
"$gptoss" "${generate[@]}" -n 3 -f prompts.jsonl >/dev/full 2>err || status=$?
expect_status 1
expect_line err 'standard output could not be written: No space left on device$'

finish
