#!/usr/bin/env bash
# gptoss chat as a person has it: a terminal, driven by tmux, whose screen is read. Nothing waits for
# a time, everything for what appears.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
script_model=$8
austen=$(cd "$here/../../models/austen" && pwd)

if ! command -v tmux >/dev/null; then
    echo "SKIPPED: tmux is not installed, so that gptoss chat is not tried at a terminal"
    exit 77
fi
if ! "$gptoss" --version | grep -q libedit; then
    echo "SKIPPED: built without libedit, so that lines are not edited"
    exit 77
fi

"$script_model" model "$here/data/tokenizer.json" <"$here/data/chat.rules"
mkdir home
: >out
: >err
status=none

# ---- the terminal ----------------------------------------------------------------------------------

unset TMUX NO_COLOR
mux()
{
    tmux -L "gptoss-$$" -f /dev/null "$@"
}
trap 'mux kill-server 2>/dev/null || true; rm -rf "$scratch"' EXIT

# What the terminal shows and has shown, long lines in one piece, without spaces at their ends.
screen()
{
    mux capture-pane -p -J -S - "$@" | sed 's/ *$//'
}

# shows TIMES PATTERN: waits until so many lines match.
shows()
{
    local waited=0
    checks=$((checks + 1))
    until (($(screen | grep -Ec -e "$2") >= $1)); do
        if ((waited++ > 600)); then
            screen >out
            complain "waited for $1 lines with: $2"
            finish || true
            exit 1
        fi
        sleep 0.1
    done
}

# ready: waits for a prompt with nothing behind it. What is typed before is kept for it, but keys
# that stop something would stop what is before it.
ready()
{
    local waited=0
    checks=$((checks + 1))
    until [[ $(screen | grep -v '^$' | tail -n 1) =~ ^(shell\$|>|\?|functions\.look>)$ ]]; do
        if ((waited++ > 600)); then
            screen >out
            complain "waited for a prompt"
            finish || true
            exit 1
        fi
        sleep 0.1
    done
}

type_text()
{
    mux send-keys -l "$1"
}

keys()
{
    mux send-keys "$@"
}

# enter TEXT TIMES PATTERN: types a line and waits for what it brings.
enter()
{
    shown="typed: $1"
    type_text "$1"
    keys Enter
    shows "$2" "$3"
}

# start COMMAND...: a new terminal of 80 columns with a shell in it, in which the command is run.
start()
{
    shown="$*"
    mux kill-server 2>/dev/null || true
    while mux has-session 2>/dev/null; do sleep 0.1; done
    mux -u new-session -d -x 80 -y 24 \
        "env HOME='$scratch/home' PS1='shell\$ ' TERM=screen-256color bash --norc --noprofile -i"
    mux set-option -g history-limit 50000 >/dev/null
    shows 1 '^shell\$'
    enter "$*; echo \"status \$?\"" 1 '^>$|status [0-9]'
}

# The program that the terminal's shell runs, and sending a signal to it.
chat_process()
{
    pgrep -P "$(mux display-message -p '#{pane_pid}')"
}

signal()
{
    kill "-$1" "$(chat_process)"
}

# Leaves the chat by a key and sees how it ended.
leave()
{
    ready
    keys "$1"
    ended
}

ended()
{
    shows 1 '^status [0-9]+$'
    status=$(screen | grep -Eo '^status [0-9]+$' | tail -n 1)
    status=${status#status }
}

chat="$gptoss chat -m model --temp 0"
hello='Hello wide 世界\.$'

# ---- a talk ----------------------------------------------------------------------------------------

start "$chat"
shows 1 '/help lists the commands\.$'
enter hello 1 "$hello"
shows 1 '^17 tokens in [0-9.]+ s \([0-9.]+/s\); read [0-9]+ of [0-9]+ in '
shows 1 '^>$'
screen -e >out
expect "thoughts are dimmed" grep -q $'\033\[2m Let me think' out
expect "the answer is plain" grep -Eq $'^(\033\[0m|\033\[39m|\033\[49m)*Hello wide' out

# Characters of two columns, and none of ASCII, are edited as one each.
type_text 'wide 世界 ünd 👍'
shows 1 '^> wide 世界 ünd 👍$'
keys Left Left Left Left Left Left BSpace
shows 1 '^> wide 世 ünd 👍$'
type_text '界限'
keys End
enter '!' 2 "$hello"
shows 1 '^>$'
enter '/save edited.json' 1 '^saved 2 turns'
expect_json edited.json 'wide 世界限 ünd 👍!' messages 4 content

# A line is completed, recalled, searched for, cleared.
type_text '/und'
keys Tab
shows 1 '^> /undo$'
keys Enter
shows 1 '^took one turn back, 1 left'
keys Up Up Up
shows 2 '^> wide 世界限 ünd 👍!$'
keys C-c
type_text '/re'
keys Tab
shows 1 '^/reset  /retry  /reasoning'
keys C-c
type_text '/reasoning h'
keys Tab
shows 1 '^> /reasoning high$'
keys Enter
shows 1 '^reasoning is high from now on'

# Several lines, typed and pasted. Nothing is sent before the return key.
enter "one\\" 1 '^\.\.\.'
enter 'two' 3 "$hello"
enter '"""' 2 '^\.\.\.'
enter 'three' 3 '^\.\.\.'
enter '/four' 4 '^\.\.\.'
enter '"""' 4 "$hello"
printf 'five\nsix 世界\n\tseven' | mux load-buffer -
mux paste-buffer -p
shows 1 '^ +seven$'
keys Enter
shows 5 "$hello"
type_text 'eight'
keys M-Enter
type_text 'nine'
shows 1 '^nine$'
keys Enter
shows 6 "$hello"
enter '/save lines.json' 1 '^saved 5 turns'
expect_json lines.json $'one\ntwo' messages 4 content
expect_json lines.json $'three\n/four' messages 7 content
expect_json lines.json $'five\nsix 世界\n\tseven' messages 10 content
expect_json lines.json $'eight\nnine' messages 13 content
keys Up Up
shows 2 '^nine$'
keys C-c
enter /quit 1 '^status'
ended
expect_status 0

# What was typed is there the next time, several lines as one.
start "$chat"
keys Up Up Up
shows 1 '^> eight$'
shows 1 '^nine$'
keys C-c
leave C-d
expect_status 0

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
signal INT
shows 1 '^Ctrl-C again'
type_text 'away with it'
shows 1 '^> away with it$'
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

# as_before: whether the terminal is as it was before the chat, which is over or stopped.
as_before()
{
    ready
    enter 'stty -a >after; cmp before after && echo "as before"' "$1" '^as before$'
}

# They are not seen in it, and there for the next prompt.
start "stty -a >before; $chat -n 3000"
enter long 1 ' la la la'
type_text 'short'
keys Enter
type_text '/rea'
shows 1 '^cut after 3000 tokens'
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
shows 2 '^cut after 3000 tokens'
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
for ((waited = 0; waited < 600; waited++)); do
    kill -0 "$left" 2>/dev/null || break
    sleep 0.1
done
expect "it ends with its window" test "$waited" -lt 600
start "$chat --session closed"
shows 1 '^going on after 1 turn,'
leave C-d
expect_status 0

# A terminal whose lines are not edited shows what was typed when it is its turn.
start "stty -a >before; TERM=dumb $chat -n 3000"
enter long 1 ' la la la'
type_text 'short'
keys Enter
shows 1 '^cut after 3000 tokens'
shows 1 '^> short$'
shows 1 '^Yes!$'
leave C-d
expect_status 0
as_before 1

# ---- the size of the window ------------------------------------------------------------------------

start "$chat"
type_text 'a line that is longer than half of the terminal is wide'
shows 1 'is wide$'
mux resize-window -x 40 -y 12
type_text ', narrower'
shows 1 'narrower$'
mux resize-window -x 100 -y 30
type_text ', wider 世界'
shows 1 'wider 世界$'
keys Enter
shows 1 "$hello"
enter long 1 ' la la la'
mux resize-window -x 60 -y 20
keys C-c
shows 1 '^stopped'
type_text 'this line is put where the window of sixty columns ends, and goes on'
shows 1 'goes on$'
expect "in two rows" bash -c "tmux -L 'gptoss-$$' capture-pane -p | grep -Eq '^nd goes on *\$'"
keys Enter
shows 2 "$hello"
enter '/save sized.json' 1 '^saved 3 turns'
expect_json sized.json 'a line that is longer than half of the terminal is wide, narrower, wider 世界' messages 1 content
expect_json sized.json 'this line is put where the window of sixty columns ends, and goes on' messages 6 content
leave C-d
expect_status 0

# ---- saved, killed, loaded -------------------------------------------------------------------------

# killed: ends the program of the terminal without any warning.
killed()
{
    signal KILL
    shows 1 '^status 137$'
}

start "$gptoss chat -m '$austen' -n 40 -s 5"
enter 'My dear sister, how is Mr. 世界?' 1 '^40 tokens in '
enter '/save talk' 1 '^saved 1 turn,'
said=$(screen | grep -A 3 '^> My dear' | sed -n 2p)
killed
start "$gptoss chat -m '$austen' -n 40 -s 5"
enter '/load talk' 1 '^loaded 1 turn,'
enter '/save talk.json' 1 '^saved 1 turn,'
expect_json talk.json 'My dear sister, how is Mr. 世界?' messages 1 content
content=$(json talk.json messages 2 content)
expect "the answer is what was on the screen" test "${said:0:30}" == "${content:0:30}"
enter 'And the others?' 1 '^40 tokens in .* read [0-9]{1,2} of '
enter '/load nowhere' 1 'nowhere could not be opened'
enter '/undo' 1 '^took one turn back, 1 left'
leave C-d
expect_status 0

# A session is there up to the last answer, whenever the program is killed.
start "$chat --session session"
enter hello 1 "$hello"
enter long 1 ' la la la'
killed
start "$chat --session session"
shows 1 '^going on after 1 turn,'
enter short 1 '^Yes!$'
leave C-d
expect_status 0

# ---- questions -------------------------------------------------------------------------------------

start "$chat"
enter call 1 '^functions\.look>$'
shows 1 '"recipient": "functions.look"'
enter short 1 '^Yes!$'
enter call 1 '^functions\.look>$'
keys C-c
shows 1 '^the call has no result$'
enter '/thinking off' 1 '^thinking is shown: off$'
enter hello 1 '^thought for 3 tokens, '
enter /thinking 1 '^ Let me think$'
leave C-d
expect_status 0

start "$chat -c 300"
enter hello 1 "$hello"
enter hello 2 "$hello"
enter hello 3 "$hello"
enter hello 1 '\(d\)rop the oldest turns'
shows 1 '^\?$'
enter x 1 '^expected one of the letters'
enter d 1 '^dropped [0-9] turns?, '
shows 4 "$hello"
enter long 2 '\(d\)rop the oldest turns'
ready
keys d Enter
shows 3 '\(d\)rop the oldest turns'
ready
keys s Enter
shows 1 '^cut: the context of 300 tokens is full$'
shows 1 '^>$'
leave C-d
expect_status 0

# ---- where what goes -------------------------------------------------------------------------------

start "$chat >answers"
enter hello 1 '^17 tokens in '
enter short 1 '^6 tokens in '
leave C-d
expect_status 0
cp answers out
expect_out 'Hello wide \xe4\xb8\x96\xe7\x95\x8c.\nYes!\n'

start "NO_COLOR=1 $chat"
enter hello 1 "$hello"
screen -e >out
expect "no colours" bash -c "! grep -q \$'\\033\\[2m' out"
expect_line out '^thinking:$'
leave C-d
expect_status 0

# A terminal that cannot move its cursor, and none that is told.
start "TERM=dumb $chat"
enter short 1 '^Yes!$'
ready
keys C-c
shows 1 '^Ctrl-C again'
leave C-d
expect_status 0
start "LC_ALL=C $chat"
type_text 'wide 世界'
keys BSpace Enter
shows 1 "$hello"
enter '/save c.json' 1 '^saved'
expect_json c.json 'wide 世' messages 1 content
leave C-d
expect_status 0

finish
