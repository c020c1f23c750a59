#!/usr/bin/env bash
# The program talks to nobody and writes nothing but what it is told to: seen in its system calls.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

if ! command -v strace >/dev/null; then
    echo "skipped: there is no strace"
    exit 77
elif ! strace -o trace true 2>/dev/null; then
    echo "skipped: strace may not trace here"
    exit 77
fi

export ASAN_OPTIONS=detect_leaks=0 # a traced process cannot look for leaks
make_model model
printf 'hello world' >text
printf '{"messages": [{"role": "user", "content": "hello"}]}' >chat.json

# traced FILE ARGUMENTS...: runs the program and fails when it speaks to a network, starts a program
# or opens anything for writing but FILE ("" for nothing).
traced()
{
    local file=$1
    shift
    shown="gptoss $* under strace"
    status=0
    strace -f -o trace -e trace=%network,openat,open,creat,execve,mkdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,truncate,chmod,fchmodat \
        "$gptoss" "$@" <in >out 2>err || status=$?
    expect_status 0
    expect "calls were seen" grep -q 'openat(.*O_RDONLY' trace
    # bench resets its own peak of memory
    local allowed="\"(/dev/null|/proc/self/clear_refs${file:+|$file(\.[0-9a-f]+\.part)?})\""
    [[ -z $file ]] || allowed+='|"\.", .*O_TMPFILE' # has no name until it is complete
    grep -vE '^[0-9]+ +(\+\+\+|---)|O_RDONLY' trace | sed '1{/execve/d}' |
        grep -vE "$allowed" >beyond || true
    expect "nothing beyond reading, found $(head -n 3 beyond)" test ! -s beyond
}

traced '' --version
traced '' inspect -m model --check --sha256
traced '' generate -m model -p hello -n 5 --ignore-eos -t 2 --pack on --sketch on
traced '' perplexity -m model -f text -c 2 --stride 2
traced '' tokenize -m model -p hello
traced '' render -m model -f chat.json
traced '' parse -m model -p '<|channel|>final<|message|>hello<|return|>'
traced '' bench -m model -p 4 -n 4 -r 1
traced dump dump -m model -p hello -o dump
traced session generate -m model -p hello -n 5 --session session
traced page.html parity -m model --reference dump --html page.html

# What is looked for is seen where it is.
shown="dump under strace"
strace -f -o trace -e trace=openat "$gptoss" dump -m model -p hello -o other 2>err
expect "a file that is written is seen" grep -qE 'O_(WRONLY|RDWR)' trace

finish
