#!/usr/bin/env bash
# Text to ids and back.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

mkdir model
cp "$here/data/tokenizer.json" model/

run tokenize -m model -p 'hello world' --json
expect_status 0
expect_out '{"ids": [259, 264]}\n'
expect_err

run tokenize --tokenizer model/tokenizer.json -p 'hello the' --json
expect_out '{"ids": [259, 268]}\n'

run tokenize -m model -p ''  --json
expect_status 0
expect_out '{"ids": []}\n'

run tokenize -m model -p 'hello "x"\n é'
expect_status 0
expect_out '259\t"hello"\n220\t" "\n1\t"\\""\n87\t"x"\n1\t"\\""\n59\t"\\\\"\n77\t"n"\n220\t" "\n284\t"é"\n'

# An escape is read only when asked for.
run tokenize -m model -e -p '\x41\n' --json
expect_out '{"ids": [32, 198]}\n'

# Special tokens are text unless asked for.
run tokenize -m model -p '<|start|>hello' --json
expect "nine tokens or more" test "$(json_list ids | tr , '\n' | wc -l)" -gt 5
run tokenize -m model --parse-special -p '<|start|>hello<|end|>' --json
expect_out '{"ids": [295, 259, 296]}\n'

# Files and standard input, byte by byte.
printf 'hello world\n' >text
run tokenize -m model -f text --json
expect_out '{"ids": [259, 264, 198]}\n'
cp text in
run tokenize -m model -p - --json
expect_out '{"ids": [259, 264, 198]}\n'
run tokenize -m model -f - --json
expect_out '{"ids": [259, 264, 198]}\n'
printf 'hello\0world\0\0 the' >in
run tokenize -m model -f - --null
expect_status 0
expect_line out '^\[259\]$'
expect_line out '^\[\]$'
expect "four lines" test "$(wc -l <out)" == 4
expect "the last text needs no zero byte" test "$(tail -n 1 out)" == '[268]'
run tokenize -m model -f - --json
expect "a zero byte is a byte of the text" \
    test "$(json_list ids)" == 259,188,264,188,188,268 -o "$(json_list ids | tr , '\n' | wc -l)" -gt 4
printf '' >in
run tokenize -m model -f - --null
expect_status 0
expect_out ''

# Ids to bytes: exactly these, nothing added.
run tokenize -m model --decode --ids 259,264
expect_status 0
expect_out 'hello world'
expect_err
run tokenize -m model --decode --ids '[295, 259]'
expect_out '<|start|>hello'
run tokenize -m model --decode --ids ' '
expect_status 0
expect_out ''
run tokenize -m model --decode --ids 4000,259,4294967295
expect_status 0
expect_out 'hello'
printf '259 264\n' >in
run tokenize -m model --decode --ids -
expect_out 'hello world'
printf '[259,\n 264]' >ids
run tokenize -m model --decode -f ids
expect_out 'hello world'

# Every byte survives the way there and back, in well-formed text.
printf '\xf0\x9f\x91\x8d \xe4\xb8\x96\xc3\xa9\t\x01\r\n' >text
run tokenize -m model -f text --json
ids=$(json_list ids)
run tokenize -m model --decode --ids "$ids"
expect "there and back" cmp -s out text
# Ill-formed UTF-8 becomes U+FFFD.
printf 'a\xffb' >text
run tokenize -m model -f text --json
expect_status 0
ids=$(json_list ids)
run tokenize -m model --decode --ids "$ids"
expect_out 'a\xef\xbf\xbdb'

for bad in 1,x 1,-2 4294967296 99999999999999999999 1.5; do
    run tokenize -m model --decode --ids "$bad"
    expect_status 2
    expect_out ''
    expect_line err '^gptoss tokenize: --ids: expected token ids such as 1,2,3, each below 2\^32, found "'
done
run tokenize -m model --decode
expect_status 2
run tokenize -m model -p a -f b
expect_status 2
expect_err 'gptoss tokenize: expected one of -p and -f, found both'
run tokenize -m model
expect_status 2
expect_err 'gptoss tokenize: expected a text, -p TEXT or -f FILE, found none'
run tokenize -m model -f absent
expect_status 1
expect_err 'gptoss: absent could not be opened: No such file or directory'
run tokenize -m model -f model
expect_status 1
expect_err 'gptoss: model could not be read: Is a directory'
mkdir empty
run tokenize -m empty -p a
expect_status 1
expect_line err '^gptoss: .*tokenizer.json'
run tokenize --tokenizer absent.json -p a
expect_status 1
expect_line err '^gptoss: .*absent.json'

finish
