# shellcheck shell=bash
# Sourced by the tests that look at gptoss chat as a person has it: a terminal, driven by tmux, whose
# screen is read. Nothing waits for a time, everything for what appears. After library.sh, which knows
# some of the names below.
# shellcheck disable=SC2154,SC2034,SC2120
script_model=$8

if ! command -v tmux >/dev/null; then
    echo "SKIPPED: tmux is not installed, so that gptoss chat is not tried at a terminal"
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
# What runs in the terminal may outlive it by a moment, and still write files.
trap 'mux kill-server 2>/dev/null || true
      until rm -rf "$scratch" 2>/dev/null; do sleep 0.1; done' EXIT

# What the terminal shows and has shown, long lines in one piece, without spaces at their ends.
screen()
{
    mux capture-pane -p -J -S - "$@" | sed 's/ *$//'
}

# waits WHAT COMMAND...: until the command succeeds.
waits()
{
    local what=$1 waited=0
    shift
    checks=$((checks + 1))
    until "$@"; do
        if ((waited++ > 1000)); then
            screen >out
            complain "waited for $what"
            finish || true
            exit 1
        fi
        sleep 0.1
    done
}

# shows TIMES PATTERN: waits until so many lines match.
shows()
{
    waits "$1 lines with: $2" matches "$@"
}

matches()
{
    (($(screen | grep -Ec -e "$2") >= $1))
}

# ready: waits for a prompt with nothing behind it, and for the program to wait for keys there. What
# is typed before is kept for it, but keys and signals that stop something would stop what is before.
ready()
{
    waits "a prompt" is_ready
}

is_ready()
{
    [[ $(screen | grep -v '^$' | tail -n 1) =~ ^(shell\$|>|\?|functions\.look>)$ ]] && waits_for_keys
}

# True when there is no program.
waits_for_keys()
{
    [[ $(ps -o stat= -p "$(chat_process)" 2>/dev/null) != [RD]* ]]
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
        "env HOME='$scratch/home' HISTFILE=/dev/null PS1='shell\$ ' TERM=screen-256color bash --norc --noprofile -i"
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

# as_before TIMES: the terminal is as it was before the chat, which is over or stopped, as the file
# `before` has it.
as_before()
{
    ready
    enter 'stty -a >after; cmp before after && echo "as before"' "$1" '^as before$'
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
