#!/usr/bin/env bash
# Streams that are closed, full or gone, and the interrupt key.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --context 131072

# raw STATUS PATTERN COMMAND: a shell command with its own redirections.
raw()
{
    shown=$3
    status=0
    : >out
    bash -c "$3" 2>err || status=$?
    expect_status "$1"
    if [[ -n $2 ]]; then expect_line err "$2"; else expect_err; fi
}

export gptoss
full='standard output could not be written: No space left on device$'
closed='standard output could not be written: Bad file descriptor$'
raw 1 "$full" '$gptoss --help >/dev/full'
raw 1 "$closed" '$gptoss --help >&-'
raw 1 "$full" '$gptoss inspect -m model --json >/dev/full'
raw 1 "$closed" '$gptoss tokenize -m model -p hello --json >&-'
raw 1 "$full" '$gptoss generate -m model -p hello -n 5 >/dev/full'
raw 1 "$closed" '$gptoss generate -m model -p hello -n 5 --json >&-'
raw 0 '' '$gptoss tokenize -m model -p hello --json 2>&- >/dev/null'
raw 0 '' '$gptoss tokenize -m model -p hello --json <&- >/dev/null'
raw 1 'standard input could not be read: ' '$gptoss tokenize -m model -p - --json <&-'

# The file of dump must not become standard output.
raw 0 '' '$gptoss dump -m model --ids 1,2 -o dump.safetensors >&-'
expect "the dump is whole" test -s dump.safetensors

# A comparison that nobody can read is none.
raw 2 "$full" '$gptoss parity -m model --reference dump.safetensors >/dev/full'
raw 2 "$closed" '$gptoss parity -m model --reference dump.safetensors --json >&-'

# A reader that leaves is no error to speak of; both ways of hearing of it.
raw 0 '' '$gptoss inspect -m model --tensors | head -n 1 >out'
raw 0 '' 'trap "" PIPE; { $gptoss inspect -m model --tensors; echo $? >status; } | true'
expect "it ends by itself" test "$(cat status)" != 141
raw 0 '' 'timeout 60 $gptoss generate -m model -p hello --ignore-eos 2>/dev/null | head -c 20 >out'
expect "20 bytes came" test "$(wc -c <out)" == 20

# interrupted COMMAND...: presses the key once a text has come that is longer than the prompt
# "hello"; leaves the exit status in $status.
interrupted()
{
    shown="gptoss $* and Ctrl-C"
    status=0
    rm -f out err
    set -m
    "$gptoss" "$@" >out 2>err <in &
    local child=$! waited=0
    set +m
    until [[ $(wc -c <out) -gt 5 ]] || ((waited++ > 300)); do sleep 0.1; done
    kill -INT $child
    wait $child || status=$?
}

printf '' >in
interrupted generate -m model -p hello --ignore-eos -n 100000
expect_status 130
expect_line err 'generated [0-9]+ tokens in .*, stop: interrupted, seed [0-9]+$'
expect_line out '^hello'

# With --json the object is printed, whole. Without --foreground, timeout presses the key twice,
# and the second time ends a program at once.
shown="generate --json and Ctrl-C"
status=0
timeout --foreground --preserve-status -s INT 2 "$gptoss" generate -m model -p hello --ignore-eos -n 100000 --json \
    >out 2>err || status=$?
expect_status 130
expect_json out interrupted stop

# A dump that is interrupted leaves nothing behind.
seq -s , 0 250 >numbers
shown="dump and Ctrl-C"
status=0
for _ in 1 2 3 4 5 6; do paste -sd, numbers numbers >twice && mv twice numbers; done
timeout --foreground --preserve-status -s INT 1 "$gptoss" dump -m model --ids "$(cat numbers)" -o gone.safetensors \
    >out 2>err || status=$?
if [[ $status != 0 ]]; then # a fast machine may have finished
    expect_status 130
    expect "no file" bash -c '! ls gone.safetensors* 2>/dev/null'
fi

finish
