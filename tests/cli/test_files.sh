#!/usr/bin/env bash
# Files that are not what they should be, or change while they are used.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --context 131072
weights=model.safetensors

# ---- a checkpoint's files ------------------------------------------------------------------------

# broken PATTERN COMMAND: the command breaks a copy of the model in `bad`; one sentence, status 1.
broken()
{
    rm -rf bad
    cp -r model bad
    (cd bad && eval "$2")
    printf '' >in
    run generate -m bad -p hello -n 3
    shown="$shown after: $2"
    expect_status 1
    expect_out ''
    expect_line err "^gptoss: $1\$"
    expect "one sentence" test "$(wc -l <err)" == 1
}

broken 'bad/model.safetensors is cut short, .*: it has 9000 bytes of the [0-9]+ that its header promises; download it again' \
    "truncate -s 9000 $weights"
broken 'bad/model.safetensors is cut short, .*: it has 100 bytes, its header alone [0-9]+; download it again' \
    "truncate -s 100 $weights"
broken 'bad/model.safetensors is empty; download it again' ": >$weights"
broken 'bad/model.safetensors should be a regular file but is a directory' \
    "rm $weights; mkdir $weights"
broken 'bad/model.safetensors should be a regular file but is a pipe' "rm $weights; mkfifo $weights"
broken 'bad/model.safetensors should be a regular file but is a device' \
    "rm $weights; ln -s /dev/zero $weights"
broken 'bad/model.safetensors cannot be reached: No such file or directory' \
    "rm $weights; ln -s nowhere $weights"
broken 'bad/model.safetensors cannot be reached: Too many levels of symbolic links' \
    "rm $weights; ln -s $weights $weights"
broken 'bad has no \*.safetensors file and neither has its subdirectory original/' "rm $weights"
broken 'bad/model.safetensors begins with zeros instead of a header, .*; download it again' \
    "rm $weights; truncate -s 200G $weights"
broken 'bad/model.safetensors has 214748364800 bytes, [0-9]+ more than its header accounts for' \
    "truncate -s 200G $weights"
broken 'bad has no config.json, which belongs beside the weights' 'rm config.json'
broken 'bad/config.json is not valid JSON: the text ends at byte 0 of 0' ': >config.json'
broken 'cannot open bad/config.json: Too many levels of symbolic links' \
    'rm config.json; ln -s config.json config.json'
broken 'bad/config.json should be a regular file but is a directory' \
    'rm config.json; mkdir config.json'
broken 'bad/config.json should be a regular file but is a pipe' 'rm config.json; mkfifo config.json'
broken 'bad/config.json has 214748364800 bytes, more than the 104857600 that a file of its kind may have' \
    'truncate -s 200G config.json'
broken 'bad/generation_config.json should be a regular file but is a pipe' \
    'mkfifo generation_config.json'
broken 'bad/tokenizer.json should be a regular file but is a directory' \
    'rm tokenizer.json; mkdir tokenizer.json'
broken 'bad/tokenizer.json should be a regular file but is a pipe' \
    'rm tokenizer.json; mkfifo tokenizer.json'
broken 'bad/tokenizer.json has 214748364800 bytes, more than the 1073741824 that a file of its kind may have' \
    'truncate -s 200G tokenizer.json'
broken 'bad/model.safetensors.index.json should be a regular file but is a pipe' \
    'mkfifo model.safetensors.index.json'

# Nobody may read everything; root may, so that it has to become somebody else.
if [[ $(id -u) != 0 ]]; then
    as_nobody=()
elif as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups) && "${as_nobody[@]}" true; then
    chmod a+rx . # what mktemp made
else
    as_nobody=(false)
fi
# forbidden PATTERN FILE: without the right to read a file of the model
forbidden()
{
    rm -rf bad
    cp -r model bad
    chmod 000 "bad/$2"
    shown="gptoss inspect without the right to read bad/$2"
    status=0
    "${as_nobody[@]}" "$gptoss" inspect -m bad >out 2>err || status=$?
    expect_status 1
    expect_out ''
    expect_err "gptoss: $1"
    chmod 700 "bad/$2"
}
if [[ ${as_nobody[*]} == false ]]; then
    echo "skipped: rights to read, because root cannot become another user here"
else
    forbidden "cannot open bad/$weights: Permission denied" "$weights"
    forbidden 'cannot open bad/config.json: Permission denied' config.json
    forbidden 'cannot list bad: Permission denied' .
fi

# ---- other files that are read or written --------------------------------------------------------

# refused STATUS SENTENCE COMMAND...
refused()
{
    local expected=$1 sentence=$2
    shift 2
    run "$@"
    expect_status "$expected"
    expect_out ''
    expect_err "gptoss$sentence"
}

"$gptoss" dump -m model -p hello -o dump
"$gptoss" generate -m model -p hello -n 2 --session session >/dev/null 2>err
mkdir directory
mkfifo pipe
: >empty
truncate -s 200G sparse
head -c 2000 dump >short
head -c 1000 session >short-session
zeros='begins with zeros instead of a header, as a file does whose download has only reserved its space; download it again'
for kind in directory pipe; do
    article="${kind/#/a }"
    refused 2 ": $kind should be a regular file but is $article" parity -m model --reference $kind
    refused 1 ": $kind should be a regular file but is $article" \
        generate -m model -p hello --session $kind
    refused 1 ": $kind should be a regular file but is $article" dump -m model -p hello -o $kind
    run parity --candidate dump --reference dump --html $kind
    expect_status 2
    expect_err "gptoss: $kind could not be written: it is no regular file"
done
expect "the pipe is still one" test -p pipe
refused 2 ': empty is empty; download it again' parity -m model --reference empty
refused 2 ": sparse $zeros" parity -m model --reference sparse
refused 2 ": short is cut short, probably by a download that did not finish: it has 2000 bytes of the $(stat -c %s dump) that its header promises; download it again" \
    parity -m model --reference short
for file in empty sparse; do
    refused 1 ": $file is no session of gptoss: it does not begin as sessions do" \
        generate -m model -p hello --session $file
done
refused 1 ': short-session is damaged or cut short: it does not end with the SHA-256 of its contents' \
    generate -m model -p hello --session short-session

# A prompt may come from a pipe.
refused 1 ': directory could not be read: Is a directory' generate -m model -f directory
refused 1 ': sparse has too much text: expected at most 256 MiB' generate -m model -f sparse
refused 2 ' generate: expected a prompt of at least one token, found an empty one' \
    generate -m model -f empty
run generate -m model -p hello -n 5 --temp 0
cp out expected
printf hello >pipe &
run generate -m model -f pipe -n 5 --temp 0
expect_status 0
expect "the same text" cmp -s out expected
printf hello >in
run generate -m model -f /dev/stdin -n 5 --temp 0
expect_status 0
expect "the same text" cmp -s out expected
printf '' >in
if [[ ${as_nobody[*]} != false ]]; then
    mkdir elsewhere
    cp dump session elsewhere/
    printf hello >elsewhere/prompt
    chmod 000 elsewhere/*
    for command in 'parity -m model --reference elsewhere/dump' 'generate -m model -f elsewhere/prompt' \
        'dump -m model -p hello -o elsewhere/new'; do
        shown="gptoss $command without rights"
        status=0
        # shellcheck disable=SC2086
        "${as_nobody[@]}" "$gptoss" $command >out 2>err || status=$?
        expect "it fails" test $status != 0
        expect_out ''
        expect_line err '^gptoss: .*elsewhere/.*: Permission denied$'
        expect "one sentence" test "$(wc -l <err)" == 1
    done
fi
rm sparse

# ---- weights that change while they are used -----------------------------------------------------

# while_running COMMAND ARGUMENTS...: runs the program and the command once a text has come that is
# longer than the prompt "hello"; leaves the exit status in $status.
while_running()
{
    local change=$1 child waited=0
    shift
    shown="gptoss $* and meanwhile: $change"
    status=0
    rm -rf out err bad
    cp -r model bad
    set -m # or it would not hear the interrupt key
    "$gptoss" "$@" >out 2>err <in &
    child=$!
    set +m
    until [[ $(wc -c <out) -gt 5 ]] || ((waited++ > 300)); do sleep 0.1; done
    eval "$change"
    wait $child || status=$?
}

endless=(generate -m bad -p hello --ignore-eos -n 100000 -t 2)
for how in '' '--pack on' '--precision q8' '--sketch on'; do
    # shellcheck disable=SC2086
    while_running "truncate -s 4096 bad/$weights" "${endless[@]}" $how
    expect_status 1
    expect_line err "^gptoss: bad/$weights was cut short while it was used: it has 4096 bytes now, it had [0-9]+ when it was opened\$"
    expect "hint and sentence, nothing else" test "$(wc -l <err)" == 2
done

# Written again: what was read in between may have been anything. The program may have ended by then.
interrupt='kill -INT $child 2>/dev/null || :'
while_running "cp model/$weights bad/$weights; $interrupt" "${endless[@]}"
expect_status 1
expect_line err "^gptoss: bad/$weights (was written to while it was used: what was computed from it is not to be trusted|could not be read while it was used: .*|was cut short while it was used: .*)\$"
byte="dd if=/dev/zero of=bad/$weights bs=1 seek=20000 count=1 conv=notrunc 2>/dev/null"
while_running "$byte; $interrupt" "${endless[@]}"
expect_status 1
expect_line err "^gptoss: bad/$weights was written to while it was used: what was computed from it is not to be trusted\$"

# Removed, or replaced by another file: what was opened is still there.
run generate -m model -p hello --ignore-eos -n 3000 --temp 0
cp out whole
for change in "rm bad/$weights" "cp bad/config.json new; mv new bad/$weights" 'rm -r bad'; do
    while_running "$change" generate -m bad -p hello --ignore-eos -n 3000 --temp 0
    expect_status 0
    expect "the text is the same" cmp -s out whole
done

# Comparisons end with 2 when they could not be made, and a dump does not appear.
"$gptoss" dump -m model --ids "$(seq -s , 0 250)" -o whole.dump --stages all
cut_soon()
{
    cp whole.dump cut.dump
    rm -rf bad new.dump
    cp -r model bad
    shown="$*"
    status=0
    "$@" >out 2>err &
    local child=$!
    sleep 0.02
    truncate -s 4096 bad/$weights
    wait $child || status=$?
}
seen=0
for _ in {1..20}; do
    cut_soon "$gptoss" parity -m bad --reference cut.dump
    [[ $status != 2 ]] || seen=$((seen + 1))
    expect "exit status 0, or 2 and a sentence" bash -c \
        "[[ $status == 0 && ! -s err ]] || { [[ $status == 2 ]] && grep -q '^gptoss: bad/$weights ' err; }"
    cut_soon "$gptoss" dump -m bad --ids "$(seq -s , 0 250)" -o new.dump --stages all
    expect "exit status 0 and a dump, or 1 and none" bash -c \
        "[[ $status == 0 && -e new.dump ]] || { [[ $status == 1 && ! -e new.dump ]] && grep -q '^gptoss: bad/$weights ' err; }"
done
expect "the file was cut in time at least once" test $seen -gt 0

finish
