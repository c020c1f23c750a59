#!/usr/bin/env bash
# gptoss chat at a terminal: keys and signals that stop something, and keys while an answer comes.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
# shellcheck source=terminal.sh
. "$here/terminal.sh"

if ! "$gptoss" --version | grep -q libedit; then
    echo "SKIPPED: built without libedit, so that lines are not edited"
    exit 77
fi

chat="$gptoss chat -m model --temp 0"
hello='Hello wide 世界\.$'

# ---- the interrupt key -----------------------------------------------------------------------------

start "$chat"
enter long 1 ' la la la'
keys C-c
shows 1 '^stopped; /continue goes on$'
enter short 1 '^Yes!$'
enter '/save stopped.json' 1 '^saved 2 turns'
expect_json stopped.json 'array 5' messages
expect "what was said stays" bash -c "'$json_get' stopped.json messages 2 content | grep -q '^ la la'"
type_text 'away with it'
shows 1 '^> away with it$'
keys C-c
enter short 2 '^Yes!$'
ready
keys C-c
shows 1 '^Ctrl-C again, Ctrl-D or /quit ends the chat$'
type_text x
shows 1 '^> x$'
keys C-c
enter short 3 '^Yes!$'
ready
keys C-c
shows 2 '^Ctrl-C again, Ctrl-D or /quit ends the chat$'
leave C-c
expect_status 0

# While the prompt is read: what was read is counted, and not read again.
{
    printf '[{"role": "user", "content": "'
    printf 'hello the world and %.0s' {1..5000}
    printf '"}]\n'
} >big.json
start "$chat --chunk 1"
enter '/load big.json' 1 '^loaded 1 turn'
ready
enter /retry 1 '^reading: '
keys C-c
shows 1 '^stopped before the answer began; /retry asks again, /undo takes your message back$'
shows 1 '^0 tokens in .*; read [0-9]+ of [0-9]+ in '
counts=$(screen | sed -nE 's/^0 tokens in .*; read ([0-9]+) of ([0-9]+) in .*/\1 \2/p')
expect "not all was read: $counts" test "${counts% *}" -lt "${counts#* }"
enter /stats 1 ' tokens of the context are in the cache$'
held=$(screen | sed -nE 's/^([0-9,]+) of [0-9,]+ tokens of the context.*/\1/p' | tr -d ,)
expect "what was read is in the cache: $held" test "$held" == "${counts% *}"
leave C-d
expect_status 0

# Stopped by the shell's key and taken up again.
start "$chat"
type_text 'sho'
shows 1 '^> sho$'
keys C-z
shows 1 'Stopped'
enter fg 1 '^> sho$'
type_text rt
keys Enter
shows 1 '^Yes!$'
ready
keys C-d
shows 1 '^shell\$$'

# The signal does what the key does.
start "$chat"
ready
signal INT
shows 1 '^Ctrl-C again'
type_text 'away with it'
shows 1 '^> away with it$'
waits "the program to wait for keys" waits_for_keys
signal INT
ready
enter short 1 '^Yes!$'
ready
signal INT
shows 2 '^Ctrl-C again'
ready
signal INT
ended
expect_status 0

# ---- keys while an answer comes --------------------------------------------------------------------

# They are not seen in it, and there for the next prompt.
start "stty -a >before; $chat -n 1000"
enter long 1 ' la la la'
type_text 'short'
keys Enter
type_text '/rea'
shows 1 '^cut after 1000 tokens'
shows 1 '^> short$'
shows 1 '^Yes!$'
shows 1 '^> /rea$'
keys Tab
shows 1 '^> /reasoning$'
screen >out
expect "the answer is as it was said" bash -c "! grep -Eq 'la.*(short|/rea)' out"
expect "nothing is seen twice" test "$(grep -c short out)" == 1
keys C-c

# What is pasted meanwhile stays in one piece.
enter long 2 '^ la la la'
printf 'pasted one\npasted two' | mux paste-buffer -p -b "$(mux load-buffer -b text - && echo text)"
shows 2 '^cut after 1000 tokens'
shows 1 '^> pasted one$'
shows 1 '^pasted two$'
keys Enter
shows 1 "$hello"
leave C-d
expect_status 0
as_before 1

# The shell's keys find the terminal as it was; the chat takes it again.
start "stty -a >before; $chat"
enter long 1 ' la la la'
keys C-z
shows 1 'Stopped'
as_before 1
enter fg 2 'la la la'
type_text 'unseen'
keys C-c
shows 1 '^stopped; /continue goes on$'
ready
expect "nor what the key has thrown away" bash -c '! grep -q unseen' <<<"$(screen)"
enter long 3 'la la la'
signal TERM
shows 1 'Terminated'
as_before 2
start "stty -a >before; $chat"
enter long 1 ' la la la'
keys C-\\
shows 1 'Quit'
as_before 1

# The window is closed.
start "$chat --session closed"
enter short 1 '^Yes!$'
enter long 1 ' la la la'
left=$(chat_process)
mux kill-server
waits "its end with its window" bash -c "! kill -0 $left 2>/dev/null"
start "$chat --session closed"
shows 1 '^going on after 1 turn,'
leave C-d
expect_status 0

finish
