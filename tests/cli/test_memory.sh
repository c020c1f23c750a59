#!/usr/bin/env bash
# Memory is foreseen and held below --max-memory.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --context 131072
generate=(generate -m model -p hello --ignore-eos -n 3)
number='[0-9.]+ [KMG]?i?B'

# Enough, in all spellings.
for size in 8G 8g 8GB 8GiB 100M 0.1G 104857600 104857600B 102400K 1T; do
    run "${generate[@]}" --max-memory "$size"
    expect_status 0
done
run "${generate[@]}" --max-memory=64M --pack on --sketch on --precision q8 -v
expect_status 0
expect_line err "^gptoss: context 4: cache $number, work space $number; weights $number, other forms of them $number; available $number\$"

# Too little: nothing is begun.
run "${generate[@]}" --max-memory 1M
expect_status 1
expect_out ''
expect_line err "^gptoss: not enough memory for a context of 4 tokens: the cache takes $number and the work space $number, 1.0 MiB is what --max-memory allows; a smaller -c or --chunk takes less\$"
expect "one sentence" test "$(wc -l <err)" == 1
run "${generate[@]}" --max-memory 1M --chunk 8 -t 1
expect_status 0
run "${generate[@]}" --max-memory 10K --sketch on
expect_status 1
expect_line err "work space $number, other forms of the weights $number, 10.0 KiB is what --max-memory allows"
run "${generate[@]}" --max-memory 3500K --mlock
expect_status 1
expect_line err ', and the weights are locked, 3.4 MiB is what --max-memory allows'
run dump -m model -p hello -o file --max-memory 1M
expect_status 1
expect_line err 'not enough memory for a context of 1 tokens: .*; a smaller --chunk takes less$'
expect "no file" test ! -e file
run dump -m model -p hello -o file
run parity -m model --reference file --max-memory 1M
expect_status 2
expect_line err '^gptoss: not enough memory for a context of 1 tokens: '
printf 'hello world' >text
run perplexity -m model -f text -c 2 --stride 2 --max-memory 1M
expect_status 1
expect_line err '^gptoss: not enough memory for a context of 2 tokens: '
run bench -m model --max-memory 10K -p 4 -n 4 -r 1
expect_status 1
expect_line err "^gptoss: not enough memory for other forms of the weights \(packed, in 8 bits, a sketch\): they take $number, --max-memory allows 10.0 KiB\$"

# What is marked, to come back to it, takes memory besides: a chat, a session, many prompts.
printf '{"prompt": "hello"}\n{"prompt": "hell"}\n' >prompts.jsonl
run generate -m model -p hello -n 0 -c 100 -v
expect_line err "^gptoss: context 100: cache $number, work space $number; weights "
run chat -m model -p hello -n 0 -c 100 -v
expect_line err "^gptoss: context 100: cache $number, work space $number, marks 28\.[0-9] KiB; weights "
run generate -m model -p hello -n 0 -c 100 -v --session session
expect_line err "^gptoss: context 100: cache $number, work space $number, marks 28\.[0-9] KiB; weights "
run generate -m model -f prompts.jsonl -n 0 -c 100 -v
expect_line err "^gptoss: context 100: cache $number, work space $number, marks 28\.[0-9] KiB; weights "
run generate -m model -p hello -n 0 -c 100000 --chunk 8 -t 1 --max-memory 37.2M
expect_status 0
run chat -m model -p hello -n 0 -c 100000 --chunk 8 -t 1 --max-memory 37.2M
expect_status 1
expect_line err "the cache takes $number and the work space $number, marks $number, 37.2 MiB is what"

# A context that nobody asked for becomes as large as fits.
run generate -m model -p hello -n -1 --max-memory 20M --chunk 8 --temp 0 --stop e
expect_status 0
expect_line err '^gptoss: context reduced from 131072 to [0-9]+ tokens: 20.0 MiB of memory is what --max-memory allows$'

# No sizes.
for size in 0 -1 1e3 0x10 8X 8GG ' 8' 8GiBB 8i nan .5G; do
    run "${generate[@]}" --max-memory="$size"
    expect_status 2
    expect_err "gptoss generate: --max-memory: expected a number of bytes such as 8G, 512M or 1.5GiB, found \"$size\""
done
run inspect -m model --max-memory 8G
expect_status 2

# More text than any context holds.
truncate -s 300M zeros
run tokenize -m model -f zeros
expect_status 1
expect_err 'gptoss: zeros has too much text: expected at most 256 MiB'
cp --sparse=always zeros in
run generate -m model -p -
expect_status 1
expect_err 'gptoss: standard input has too much text: expected at most 256 MiB'

finish
