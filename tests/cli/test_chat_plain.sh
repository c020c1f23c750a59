#!/usr/bin/env bash
# gptoss chat where lines are not edited: at a terminal that cannot move its cursor, and as it is
# built without libedit.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
# shellcheck source=terminal.sh
. "$here/terminal.sh"
without_editor=$9
hello='Hello wide 世界\.$'

for program in "TERM=dumb $gptoss" "$without_editor"; do
    chat="$program chat -m model --temp 0"

    # The terminal's own keys work, and no others.
    start "stty -a >before; $chat"
    type_text 'hellp'
    keys BSpace
    enter o 1 "$hello"
    enter "sho\\" 1 '^\.\.\.$'
    enter 'rt' 2 "$hello"
    enter '"""' 1 '^\.\.\.$'
    enter '/four' 1 '^\.\.\. /four$'
    enter '"""' 3 "$hello"
    enter '/save lines.json' 1 '^saved 3 turns'
    expect_json lines.json hello messages 1 content
    expect_json lines.json $'sho\nrt' messages 4 content
    expect_json lines.json /four messages 7 content
    type_text '/und'
    keys Tab
    shows 1 '^> /und$'
    keys C-u
    enter call 1 '^functions\.look>$'
    enter result 4 "$hello"
    ready
    keys C-c
    shows 1 '^Ctrl-C again, Ctrl-D or /quit ends the chat$'
    leave C-c
    expect_status 0
    as_before 1

    # What was typed while an answer came is seen when it is its turn, and no sooner. In one go: of a
    # line that is typed half before the answer ends and half behind it, the terminal shows the latter.
    start "stty -a >before; $chat -n 1000"
    enter long 1 ' la la la'
    keys short Enter /un
    shows 1 '^cut after 1000 tokens'
    shows 1 '^> short$'
    shows 1 '^Yes!$'
    enter 'do' 1 '^took one turn back, 1 left$'
    screen >out
    expect "the answer is as it was said" bash -c "! grep -Eq 'la.*(short|/un)' out"
    leave C-d
    expect_status 0
    as_before 1

    # An answer that comes is stopped.
    start "stty -a >before; $chat"
    enter long 1 ' la la la'
    keys C-c
    shows 1 '^stopped; /continue goes on$'
    leave C-d
    expect_status 0
    as_before 1
done
expect "no history" test ! -e home/.local

finish
