#!/usr/bin/env bash
# gptoss chat at a terminal: editing, recalling, several lines, windows, files, questions, colours.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
# shellcheck source=terminal.sh
. "$here/terminal.sh"
austen=$(cd "$here/../../models/austen" && pwd)

if ! "$gptoss" --version | grep -q libedit; then
    echo "SKIPPED: built without libedit, so that lines are not edited"
    exit 77
fi

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

# Standard error may go elsewhere: a person types all the same, but is asked nothing.
start "$chat -c 300 2>/dev/null"
for times in 1 2 3 4; do
    enter hello $times "$hello"
done
enter short 1 '^Yes!$'
type_text 'away with it'
shows 1 '^> away with it$'
keys C-c
enter '/save unseen.json' 1 '^> /save unseen.json$'
leave C-d
expect_status 0
expect_json unseen.json 'array 15' messages
start "$chat >answers 2>log"
type_text '/und'
keys Tab
shows 1 '^> /undo$'
keys C-c
enter short 1 '^> short$'
leave C-d
expect_status 0
cp answers out
expect_out 'Yes!\n'
expect_line log '^gptoss: 6 tokens in '

start "NO_COLOR=1 $chat"
enter hello 1 "$hello"
screen -e >out
expect "no colours" bash -c "! grep -q \$'\\033\\[2m' out"
expect_line out '^thinking:$'
leave C-d
expect_status 0

# A locale without any characters but those of ASCII.
start "LC_ALL=C $chat"
type_text 'wide 世界'
keys BSpace Enter
shows 1 "$hello"
enter '/save c.json' 1 '^saved'
expect_json c.json 'wide 世' messages 1 content
leave C-d
expect_status 0

finish
