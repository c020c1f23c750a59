#!/usr/bin/env bash
# bench: every format, the figures in it, mistakes, Ctrl-C. How fast it is is nobody's business here.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
austen=${here%/tests/cli}/models/austen
tiny=20b,layers=1,vocab=512,experts=4

# ---- the table ---------------------------------------------------------------------------------
run bench -m "$austen" -p 16,40 -n 4 -d 0,300 -t 1 -r 2 --precision f32
expect_status 0
expect_err
expect_line out '^\| model +\| +size \| +params \| precision \| threads \| +test \| +t/s \| ms/token \| +GB/s \|  of read \|  GFLOP/s \|   of FMA \|    other \|$'
expect_line out '^\| -+ \| -+: \|'
number='[0-9]+\.[0-9]+'
for test in pp16 pp40 tg4 'pp16 @ d300' 'pp40 @ d300' 'tg4 @ d300'; do
    expect_line out "^\\| austen \\| +8\\.8 MiB \\| +9\\.21 M \\| +f32 \\| +1 \\| +$test \\| +$number ± $number \\| +$number \\| +$number \\| +$number% \\| +$number \\| +$number% \\| +$number% \\|\$"
done
expect "all rows have as many columns" \
    test "$(grep '^|' out | tr -dc '|\n' | sort -u | wc -l)" == 1
expect "two lines of heading and a line for each test" test "$(grep -c '^|' out)" == 8
expect_line out "^opened in $number s, prepared in $number s; first token of a 32-token prompt $number s after the start; peak memory .* [MG]iB\$"

# ---- where the time goes -----------------------------------------------------------------------
run bench -m "$austen" -p 8 -n 2 -t 1 -r 1 --profile
expect_status 0
expect_line out '^\| pp8 +\| ms/token \|  of time \| MB/token \|     GB/s \|  of read \|  GFLOP/s \|   of FMA \|$'
expect_line out '^\| tg2 +\| ms/token '
for operation in embedding qkv attention gate_up unembedding outside; do
    expect_line out "^\\| $operation +\\|( +$number%? \\|){7}\$"
done

# ---- JSON, with what was counted ---------------------------------------------------------------
run bench -m "$austen" -p 0 -n 5 -t 1 -r 4 --precision f32 --pack off --sketch off -o json
expect_status 0
expect_json out gptoss 0 program
expect_json out tg5 0 test
expect_json out 5 0 n_gen
expect_json out 0 0 n_prompt
expect_json out 0 0 n_depth
expect_json out 1 0 n_threads
expect_json out f32 0 precision
bytes=$(json out 0 bytes_dense_per_token)+$(json out 0 bytes_experts_per_token)+$(json out 0 bytes_unembedding_per_token)
cp out bench.json
expect "the operations take the time of the test" awk "BEGIN {
    $(for i in {0..15}; do echo "sum += $(json out 0 operations "$i" ns_per_token);"; done)
    exit !((sum / (1e6 * $(json out 0 ms_per_token)) - 1) ^ 2 < 1e-12) }"
expect_json out embedding 0 operations 0 operation
expect_json out unembedding 0 operations 14 operation
expect_json out outside 0 operations 15 operation
run inspect -m "$austen" --json
# vectors that inspect counts with two bytes are read as float copies
expect "bytes of weights for a token are those that inspect tells" \
    awk "BEGIN { vectors = 2 * (4 * (2 * 256 + 256 + 2 * 128 + 256 + 8 + 8) + 256)
        exit !($bytes == $(json out bytes per_token) + vectors) }"
figures=$(sed -E 's/.*"samples_ns": \[([^]]*)\].*/\1/; t; d' bench.json | tr -d ' ' |
    tr , '\n' | sort -n | awk '{ x[NR] = $1; sum += $1 } END { mean = sum / NR
        for (i = 1; i <= NR; i++) squares += (x[i] - mean) ^ 2
        printf "%.0f %.0f %.0f", mean, sqrt(squares / (NR - 1)), (x[2] + x[3]) / 2 }')
near()
{
    awk "BEGIN { exit !(($1 - $2) ^ 2 <= 4) }"
}
expect "four samples" test "$(grep -o '"samples_ns": [^]]*' bench.json | tr -dc ',\n' | wc -c)" == 4
read -r mean deviation median <<<"$figures"
expect "their mean" near "$mean" "$(json bench.json 0 avg_ns)"
expect "their standard deviation" near "$deviation" "$(json bench.json 0 stddev_ns)"
expect "their median" near "$median" "$(json bench.json 0 median_ns)"

# ---- a prompt reads each weight once, whatever its length; the cache is read from depth on -------
run bench --synthetic $tiny -p 8 -n 2 -d 0,8 -t 1 -r 1 --no-warmup -o jsonl
expect_status 0
expect "an object a line" test "$(wc -l <out)" == 4
for row in 1 2 3 4; do
    sed -n ${row}p out >row$row
done
expect_json row1 pp8 test
expect_json row3 'pp8 @ d8' test
expect_json row1 "synthetic $tiny" model_type
expect "the dense weights of eight tokens in one pass are those of one in eight" \
    awk "BEGIN { one = $(json row2 bytes_dense_per_token); eight = 8 * $(json row1 bytes_dense_per_token)
        exit !(eight == one + 7 * 2 * 2880) }"
# keys and values of 8 heads of 64 numbers in one layer, in two bytes or in four
cached()
{
    awk "BEGIN { exit !($(json "row$1" bytes_cache_per_token) == $2 * 2 * 8 * 64 * ${3:-2}) }"
}
expect "a prompt's own keys, each once" cached 1 1
expect "8 tokens see 16 keys in one pass" cached 3 2
expect "two tokens see 1 and 2 keys" cached 2 1.5
expect "two tokens see 9 and 10 keys" cached 4 9.5
for how in '--cache-type f32' '--precision f32'; do
    # shellcheck disable=SC2086 # two words
    run bench --synthetic $tiny -p 8 -n 0 -t 1 -r 1 --no-warmup -o jsonl $how
    cp out row5
    expect "$how: keys as computed" cached 5 1 4
done

# ---- CSV ---------------------------------------------------------------------------------------
run bench --synthetic $tiny -p 4 -n 0 -t 1 -r 1 --precision f32,bf16 -o csv
expect_status 0
expect "a heading and two rows" test "$(wc -l <out)" == 3
expect_line out '"f32","own","pp4"'
expect_line out '"bf16","(own|blas)","pp4"'
expect_line out '^program,version,cpu_info,.*,avg_ns,stddev_ns,'
expect_line out '^"gptoss",.*"pp4","4","0","0",'
columns=$(head -1 out | tr , '\n' | wc -l)
sed 's/"[^"]*"/x/g' out | tail -2 >plain
expect "as many values as names" test "$(head -1 plain | tr , '\n' | wc -l)" == "$columns"

# ---- mistakes ----------------------------------------------------------------------------------
usage()
{
    local sentence=$1
    shift
    run bench "$@"
    expect_status 2
    expect_out ''
    expect_err "gptoss bench: $sentence"
}
usage 'expected one of -m PATH and --synthetic SHAPE, found neither'
usage 'expected one of -m PATH and --synthetic SHAPE, found both' -m model --synthetic 20b
usage 'expected something to measure, -p N or -n N above 0, found neither' -m model -p 0 -n 0
usage '-p, --n-prompt: expected whole numbers from 0 to 1048576 with commas between, found "512,"' \
    -m model -p 512,
usage '-d, --n-depth: expected whole numbers from 0 to 1048576 with commas between, found "-1"' \
    -m model --n-depth=-1
usage '-t, --threads: expected whole numbers from 0 to 4096 with commas between, found "1,two"' \
    -m model -t 1,two
usage '-r, --repetitions: expected a whole number from 1 to 10000, found "0"' -m model -r 0
usage '-o, --output: expected md, csv, json or jsonl, found "html"' -m model -o html
usage '--precision: expected f32, bf16 or q8, found "f32,f16"' -m model --precision f32,f16
usage '--synthetic: expected 20b or 120b, then if wanted ,layers=N ,vocab=N ,experts=N or ,winners=on, found "20b,layers=0"' \
    --synthetic 20b,layers=0
usage '--synthetic: expected 20b or 120b, then if wanted ,layers=N ,vocab=N ,experts=N or ,winners=on, found "7b"' \
    --synthetic 7b
usage 'expected tests of at most 2048 tokens, the model'"'"'s context, found 2049' \
    -m "$austen" -p 1 -n 0 -d 2048
run bench --synthetic 120b,layers=1000
expect_status 1
expect_line err '^gptoss: the random weights would take [0-9.]+ GiB of memory and [0-9.]+ GiB is available; fewer layers take less$'

# ---- Ctrl-C: what is done is printed -----------------------------------------------------------
shown='gptoss bench, interrupted'
status=0
set -m
"$gptoss" bench -m "$austen" -p 4 -n 1000 -t 1 -r 10 -o json >out 2>err &
child=$!
set +m
for ((i = 0; i < 100; i++)); do
    grep -q pp4 out && break
    sleep 0.1
done
kill -INT $child
wait $child || status=$?
expect_status 130
expect_err
expect_json out pp4 0 test

finish
