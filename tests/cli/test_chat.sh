#!/usr/bin/env bash
# gptoss chat from scripts: what goes where, what a turn costs, tools, the end of the context, files.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
script_model=$8
austen=$here/../../models/austen

"$script_model" model "$here/data/tokenizer.json" <"$here/data/chat.rules"
export HOME=$scratch/home
mkdir home
chat=(chat -m model --temp 0 --date 2026-11-28)
times='^gptoss: [0-9]+ tokens in [0-9.]+ s \([0-9.]+/s\); read [0-9]+ of [0-9]+ in [0-9.]+ s \([0-9.]+/s\)$'

# turn LINE PATH...: the value in the object that a line of `out` is.
turn()
{
    sed -n "$1p" out >line
    shift
    json line "$@"
}

# expect_turn VALUE LINE PATH...
expect_turn()
{
    local value=$1 found
    shift
    checks=$((checks + 1))
    found=$(turn "$@" 2>&1) || true
    [[ $found == "$value" ]] || complain "expected $* = $value, found $found"
}

# What is rendered of a saved conversation.
rendered()
{
    "$gptoss" render -m model -f "$1" --history all --ending none
}

# ---- one answer ------------------------------------------------------------------------------------

# Standard output is the channel final, byte by byte.
run "${chat[@]}" -p hello
expect_status 0
expect_out 'Hello wide \xe4\xb8\x96\xe7\x95\x8c.'
expect_line err '^thinking:$'
expect_line err '^ Let me think$'
expect_line err "$times"
expect "three lines on standard error" test "$(wc -l <err)" == 3

run "${chat[@]}" -p hello --show-thinking off
expect_out 'Hello wide \xe4\xb8\x96\xe7\x95\x8c.'
expect_line err '^gptoss: thought for 3 tokens, [0-9.]+ s$'
expect "no thoughts" bash -c '! grep -q Let err'

printf 'short\n' >message
cp message in
for source in "-p short" "-f message" "-p -" "-f -" "-e -p sho\\x72t"; do
    # shellcheck disable=SC2086
    run "${chat[@]}" $source
    expect_status 0
    expect_out 'Yes!'
done
: >in

run generate --chat -m model --temp 0 -p short
expect_status 0
expect_out 'Yes!'
run generate -m model --temp 0 -p short -n 1
expect_line err 'hint: this is a raw completion; gptoss chat, or --chat, asks the model in the chat format'

# With --json, one object with the messages.
run "${chat[@]}" -p hello --json -s 7
expect_status 0
expect "one line" test "$(wc -l <out)" == 1
expect_json out 'array 2' messages
expect_json out assistant messages 0 role
expect_json out analysis messages 0 channel
expect_json out ' Let me think' messages 0 content
expect_json out final messages 1 channel
expect_json out 'Hello wide 世界.' messages 1 content
expect_json out end stop
expect_json out false outside_format
expect_json out 0 usage reused_tokens
expect_json out 17 usage completion_tokens
expect_json out 3 usage reasoning_tokens
expect_json out 0 usage dropped_turns
expect_json out "$(json out usage prompt_tokens)" usage fed_tokens
expect_json out 7 seed
expect_json out 0 sampling temperature
expect_json out bf16 run precision
for key in prompt_seconds prompt_per_second seconds per_second; do
    expect "timings.$key is there" json out timings $key >/dev/null
done

# A model that answers without channels is heard all the same.
run "${chat[@]}" -p plain
expect_status 0
expect_out ' I answer without any channel'
expect_line err '^gptoss: this model leaves the chat format out: all that it says is its answer$'
run "${chat[@]}" -p plain --json
expect_json out true outside_format
expect_json out final messages 0 channel
run chat -m "$austen" -p 'My dear sister,' -n 30 -s 3
expect_status 0
expect "it says something" test -s out
cp out said
run chat -m "$austen" -p 'My dear sister,' -n 30 -s 3 --json
expect_json out true outside_format
expect_json out length stop
expect_json out "$(cat said)" messages 0 content

# What the model says before the key is pressed is said.
shown="chat -p and Ctrl-C"
status=0
timeout --foreground --preserve-status -s INT 2 "$gptoss" "${chat[@]}" -p long >out 2>err || status=$?
if [[ $status != 0 ]]; then # a fast machine may have filled the context
    expect_status 130
    expect_line err '^gptoss: stopped$'
fi
expect_line out '^ la la la'

# ---- a talk ----------------------------------------------------------------------------------------

# Lines are messages; answers end with a newline each, and nothing is kept of what was typed.
printf 'hello\n\n   \nshort\n/quit\nhello\n' >in
run "${chat[@]}"
expect_status 0
expect_out 'Hello wide \xe4\xb8\x96\xe7\x95\x8c.\nYes!\n'
expect "no history" test ! -e home/.local

# Text over several lines; the last line may lack its newline.
printf 'a\\\nb\n"""c\n/d\n"""\n"""\ne\n\n"""\n//f\n""" g""" h' >in
run "${chat[@]}" --json
expect_status 0
{ cat in; printf '\n/save lines.json\n'; } >lines
cp lines in
run "${chat[@]}"
expect_status 0
[[ $(json lines.json messages 1 content) == $'a\nb' ]] || complain 'a backslash goes on'
expect_json lines.json $'c\n/d' messages 4 content
expect_json lines.json 'e' messages 7 content # and a newline, which the shell takes away
expect_json lines.json '/f' messages 10 content
expect_json lines.json ' g h' messages 13 content

# What is in the cache is not read again: a turn costs the answer whose analysis was dropped, and
# the message; another answer the last token; another message in the place of one that.
printf 'hello\nhello\n/retry\n/undo\nshort\n/undo\nshort\n/undo\n/undo\nhello\n' >in
run "${chat[@]}" --json
expect_status 0
head=$(turn 1 usage prompt_tokens)
message=$("$gptoss" render -m model -f - --ids <<<'[{"role": "user", "content": "hello"}]' | wc -w)
answer=$("$gptoss" render -m model -f - --ids --ending none \
    <<<'[{"role": "assistant", "channel": "final", "content": "Hello wide 世界."}]' | wc -w)
expect_turn $((head + answer + message - 2)) 2 usage prompt_tokens
expect "a second turn reads the answer and the message" \
    test "$(turn 2 usage fed_tokens)" -le $((answer + message))
expect_turn 1 3 usage fed_tokens
expect "the same again" test "$(turn 2 messages)" == "$(turn 3 messages)"
expect "a message in place of another" test "$(turn 4 usage fed_tokens)" -le "$message"
expect "and in place of that" test "$(turn 5 usage fed_tokens)" -le "$message"
expect_turn "$head" 6 usage prompt_tokens
expect "back to the beginning" test "$(turn 6 usage fed_tokens)" -le "$message"

# On a long conversation, too: more than the rings hold.
{ printf '"""'; for _ in {1..1000}; do printf 'hello the world and '; done; printf 'hello"""\nhello\n'; } >in
run "${chat[@]}" --json --chunk 64
expect_status 0
expect "a long prompt" test "$(turn 1 usage prompt_tokens)" -ge 4000
expect "read once" test "$(turn 2 usage fed_tokens)" -le $((answer + message))
expect "found" test "$(turn 2 usage reused_tokens)" -ge 4000

# The same bits as without a cache.
printf 'hello\ncall\nshort\nhello\n/save whole.json\n' >in
run "${chat[@]}" --json
cp out cached
last=$(turn 4 messages)
printf '/load whole.json\n/retry\n' >in
run "${chat[@]}" --json
expect "the same as from scratch" test "$(turn 1 messages)" == "$last"
expect_turn 0 1 usage reused_tokens

# Thoughts stay with their turn while it lasts, and are dropped when the user goes on.
expect "thoughts are kept in the file" grep -q '"channel": "analysis"' whole.json
expect "a prompt without old thoughts" \
    test "$("$gptoss" render -m model -f whole.json --history turns | grep -o 'analysis<|message|> ' | wc -l)" == 1

# Commands.
printf '/stats\nhello\n/stats\n/help\n/thinking\n/reasoning\n/reasoning high\n/reasoning\n/reset\n/undo\n' >in
run "${chat[@]}"
expect_status 1
expect_out 'Hello wide \xe4\xb8\x96\xe7\x95\x8c.\n'
expect_line err '^gptoss: 0 turns, reasoning medium$'
expect_line err '^gptoss: 1 turn, reasoning medium$'
expect_line err '^gptoss: 1 answer, 17 tokens generated'
expect_line err '^/undo '
expect_line err '^gptoss: reasoning is high from now on'
expect_line err '^gptoss: the conversation is empty$'
expect_line err '^gptoss: there is nothing to take back$'
expect "thoughts twice" test "$(grep -c 'Let me think' err)" == 2
for line in /foo /re /undo\ 1 /reasoning\ some /thinking\ some /save /load; do
    printf '%s\nshort\n' "$line" >in
    run "${chat[@]}"
    expect_status 1
    expect_out 'Yes!\n'
done
# As other programs call them.
printf 'short\n/regen\n/?\n/clear\n/undo\n/bye\nshort\n' >in
run "${chat[@]}"
expect_status 1
expect_out 'Yes!\nYes!\n'
expect_line err '^/undo '
expect_line err '^gptoss: there is nothing to take back$'
printf '/exit\nshort\n' >in
run "${chat[@]}"
expect_status 0
expect_out ''
printf '/frob\n' >in
run "${chat[@]}"
expect_err 'gptoss: there is no command /frob; /help lists them, and a message that begins with / is written //'

# An answer that was cut can be gone on with.
printf 'long\n/continue\n/save cut.json\n' >in
run "${chat[@]}" -n 10
expect_status 0
expect_line err '^gptoss: cut after 10 tokens \(-n\); /continue goes on$'
expect_json cut.json 'array 3' messages
expect "both parts are one message" test "$(json cut.json messages 2 content | wc -w)" == 17
printf 'short\n/continue\n' >in
run "${chat[@]}"
expect_status 1
expect_out 'Yes!\n'
expect_line err '^gptoss: the answer is complete$'
printf '/continue\n' >in
run "${chat[@]}"
expect_status 1

# ---- what the model is told ------------------------------------------------------------------------

printf '/save told.json\n' >in
run "${chat[@]}" --system 'You are a test.' --developer 'Be brief.' --reasoning low
expect_status 0
expect "the prompt" test "$(rendered told.json)" == "<|start|>system<|message|>You are a test.
Knowledge cutoff: 2024-06
Current date: 2026-11-28

Reasoning: low

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|><|start|>developer<|message|># Instructions

Be brief.<|end|>"
run chat -m model --date none
expect_status 0
expect "nothing that was not asked for" test "$(rendered told.json)" == "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06

Reasoning: medium

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
run chat -m model
expect_json told.json "$(date +%F)" messages 0 content 0 conversation_start_date
run "${chat[@]}" --date 2026-13-01
expect_status 2
run "${chat[@]}" --date 28.11.2026
expect_status 2
expect_err 'gptoss chat: --date: expected a date such as 2026-11-28, today or none, found "28.11.2026"'

# ---- tools -----------------------------------------------------------------------------------------

cat >tools.json <<'END_OF_TOOLS'
[{"type": "function", "function": {"name": "look", "description": "Looks a thing up.",
  "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}]
END_OF_TOOLS
printf 'call\nshort\n/save tools-talk.json\n' >in
run "${chat[@]}" --tools tools.json
expect_status 0
expect_out 'Yes!\n'
expect_line err '^commentary:$'
expect_line err '^One moment$'
expect_line err '^\{"role": "assistant", "recipient": "functions.look", "channel": "commentary", "content_type": "<\|constrain\|>json", "content": "\{\\"n\\":1\}"\}$'
talk=$(rendered tools-talk.json)
expect "the function is told" grep -q '^type look = (_: {$' <<<"$talk"
expect "and its channel" grep -q "^Calls to these tools must go to the commentary channel: 'functions'." <<<"$talk"
call='<|start|>assistant<|channel|>commentary<|message|>One moment<|end|><|start|>assistant to=functions.look<|channel|>commentary <|constrain|>json<|message|>{"n":1}<|call|><|start|>functions.look to=assistant<|channel|>commentary<|message|>short<|end|><|start|>assistant<|channel|>final<|message|>Yes!<|end|>'
expect "call and result" test "${talk: -${#call}}" == "$call"

# One answer ends with the call.
run "${chat[@]}" --tools tools.json -p call
expect_status 0
expect_out ''
run "${chat[@]}" --tools tools.json -p call --json
expect_json out call stop
expect_json out functions.look messages 2 recipient

# Without a result the talk goes on.
printf 'call\n' >in
run "${chat[@]}" --tools tools.json
expect_status 0
expect_line err '^gptoss: the call has no result$'

# refused SENTENCE JSON
refused()
{
    printf '%s' "$2" >bad.json
    run "${chat[@]}" --tools bad.json -p hello
    expect_status 1
    expect_out ''
    expect_err "gptoss: $1"
}
refused 'bad.json: byte 21: expected a tool of the type "function" before' '[{"type": "retrieval"}]'
refused 'bad.json: byte 29: expected each function once, found two f' '[{"name": "f"}, {"name": "f"}]'
refused 'bad.json: byte 2: expected "tools", a list of functions, before' '{}'
refused 'the schema of the function f is not valid JSON: a number of more than 63 characters ends at byte 115 of 118' \
    '[{"name": "f", "parameters": {"type": "object", "properties": {"n": {"default": 1000000000000000000000000000000000000000000000000000000000000000}}}}]'
run "${chat[@]}" --tools absent.json -p hello
expect_status 1
expect_err 'gptoss: absent.json could not be opened: No such file or directory'

# ---- the end of the context ------------------------------------------------------------------------

full=$((head + 3 * (answer + message)))
printf 'hello\nhello\nhello\nhello\nhello\nhello\n' >in
run "${chat[@]}" -c $full --json
expect_status 1
expect_line err "^gptoss: (cut: the context of $full tokens is full|the conversation has [0-9]+ tokens, the context holds $full; --context-full drop makes room, and so do /reset and a larger -c)$"
run "${chat[@]}" -c $full --context-full stop
expect_status 1
expect "it is said" grep -q 'context' err
run "${chat[@]}" -c $full --json --context-full drop
expect_status 0
expect "every message was answered" test "$(grep -c '"stop": "end"' out)" -ge 6
expect_line err '^gptoss: dropped [0-9] turns?, [0-9]+ messages; it takes [0-9]+ of [0-9]+ tokens now$'
expect "turns were dropped" grep -q '"dropped_turns": [1-9]' out

# An answer that fills it is cut, and says so; with turns to drop it goes on.
run "${chat[@]}" -c $full -p long --json
expect_status 0
expect_json out context stop
expect_line err "^gptoss: cut: the context of $full tokens is full$"
printf 'hello\nlong\n/save gone.json\n' >in
run "${chat[@]}" -c $full --context-full drop
expect_status 0
expect_json gone.json 'array 3' messages
expect_line err '^gptoss: dropped 1 turn, 3 messages'
expect "it went on" test "$(json gone.json messages 2 content | wc -w)" -gt 50
expect "on the same line" test "$(wc -l <out)" == 2

# A message that is too long alone is refused; the conversation goes on without it.
{ printf '"""'; for _ in {1..100}; do printf 'hello the world and '; done; printf '"""\nshort\n'; } >in
run "${chat[@]}" -c $full --context-full drop
expect_status 1
expect_out 'Yes!\n'
expect_line err "^gptoss: the message makes [0-9]+ tokens, the context holds $full; a larger -c makes room\$"
run "${chat[@]}" -c 20 -p hello
expect_status 1
expect_out ''

# ---- files -----------------------------------------------------------------------------------------

# A session is there after every answer, and goes on with nothing to read but what is new.
: >in
run "${chat[@]}" --session session -p hello --json
expect_status 0
run "${chat[@]}" --session session -p hello --json
expect_status 0
expect "the cache came back" test "$(turn 1 usage fed_tokens)" -le $((answer + message))
expect "only its owner reads it" test "$(stat -c %a session)" == 600
printf '/save session.json\n' >in
run "${chat[@]}" --session session
expect_json session.json 'array 7' messages

# JSON goes from model to model; the prompt of a session is its model's.
run chat -m "$austen" --session session.json -n 5 -p 'hello' --temp 0
expect_status 0
expect_json session.json 'array 9' messages
cp session before
run chat -m "$austen" --session session -n 5 -p 'hello'
expect_status 1
expect_out ''
expect "one sentence" test "$(wc -l <err)" == 1
expect_line err '^gptoss: session'
expect "the file is as it was" cmp -s session before

# Damaged files are refused, and the conversation stays.
head -c 2000 session >short-session
{ head -c 3000 session; printf 'X'; tail -c +3002 session; } >changed
printf '{"messages": [{"role": "user"' >broken.json
printf '[{"role": "tool", "content": "x"}]' >nameless.json
printf '' >empty
for file in short-session changed broken.json nameless.json empty absent model; do
    printf 'hello\n/load %s\n/save after.json\n' $file >in
    run "${chat[@]}"
    expect_status 1
    expect "one sentence about $file" test "$(grep -c '^gptoss: .*' err)" == 3
    expect_json after.json 'array 4' messages
    : >in
    [[ $file == absent ]] && continue
    run "${chat[@]}" --session $file -p hello
    expect_status 1
    expect_out ''
done

# One that was saved before anything was read has no cache, which is nothing to tell of.
printf '/load after.json\n/save unread\n/load unread\nshort\n' >in
run "${chat[@]}"
expect_status 0
expect "nothing but that it was loaded" test "$(grep -vc ' tokens in ' err)" == 3

# A cache that is not as asked for is not used, but the conversation is.
for how in '--precision q8' '--precision f32' '--cache-type f32'; do
    cp session other
    # shellcheck disable=SC2086
    run "${chat[@]}" --session other -p hello --json $how
    expect_status 0
    expect_json out 0 usage reused_tokens
    expect_line err '^gptoss: the cache of other is not as asked for here: all is read again$'
done
cp session other
run "${chat[@]}" --session other -p hello --json -c $((head + answer + message)) --context-full drop
expect_status 0
expect_line err '^gptoss: dropped 2 turns, 6 messages'
run generate -m model -p 'hello world' -n 2 --session raw
cp raw before
run "${chat[@]}" --session raw -p hello
expect_status 1
expect_err 'gptoss: raw is a session, but none of gptoss chat'
expect "it is as it was" cmp -s raw before

# Flags go before what the file says of the system message.
run "${chat[@]}" --session session -p hello --reasoning high --developer 'Be brief.' --json
expect_status 0
expect "it is read again" test "$(json out usage reused_tokens)" -lt "$head"
printf '/save flags.json\n' >in
run "${chat[@]}" --session session
expect_json flags.json High messages 0 content 0 reasoning_effort
expect_json flags.json 'Be brief.' messages 1 content 0 instructions

# A file that cannot be written is no loss.
printf 'short\n/save nowhere/x.json\n/save nowhere/x\n/save still.json\n' >in
run "${chat[@]}"
expect_status 1
expect_out 'Yes!\n'
expect_json still.json 'array 3' messages
expect "nothing is left behind" bash -c '! ls | grep -q part'
printf 'precious' >precious
mkdir folder
mkfifo pipe pipe.json
for name in precious folder pipe pipe.json folder/; do
    printf 'short\n/save %s\n' $name >in
    run "${chat[@]}"
    expect_status 1
    expect_line err "^gptoss: $name is there and no conversation; it stays as it is\$"
done
expect "another file is not overwritten" test "$(cat precious)" == precious
expect "nor what is no file" test -p pipe -a -p pipe.json -a -d folder
: >in
run "${chat[@]}" --session nowhere/session -p hello
expect_status 1
expect_out ''
expect_err 'gptoss: nowhere/session: a session cannot be kept in nowhere: No such file or directory'
printf '/save ~/home.json\n' >in
run "${chat[@]}"
expect_status 0
expect "~ is the home" test -s home/home.json

# ---- mistakes --------------------------------------------------------------------------------------

: >in
run "${chat[@]}" -p a -f b
expect_status 2
expect_err 'gptoss chat: expected one of -p and -f, found both'
run "${chat[@]}" -p ''
expect_status 2
expect_err 'gptoss chat: expected a message, found an empty one'
run chat -p hello
expect_status 2
expect_err 'gptoss chat: expected a checkpoint, -m PATH, found none'
run "${chat[@]}" --reasoning huge
expect_status 2
run "${chat[@]}" --logprobs 1
expect_status 2
expect_err 'gptoss chat: --logprobs is a flag of gptoss generate, not of gptoss chat'
for flag in '--ids 1' '--stop x' --ignore-eos '--logprobs 1' --parse-special; do
    # shellcheck disable=SC2086
    run generate --chat -m model -p hello $flag
    expect_status 2
    expect_err "gptoss generate: --chat: ${flag%% *} is of no use with it"
done
printf '{"prompt": "hello"}\n' >many.jsonl
run generate --chat -m model -f many.jsonl
expect_status 2
expect_err 'gptoss generate: --chat: expected one message, found a file of many'
run generate --chat -m model
expect_status 2
expect_err 'gptoss generate: expected a message, -p TEXT or -f FILE, found none'
make_model bare
rm bare/tokenizer.json
run chat -m bare -p hello
expect_status 1
run "${chat[@]}"
expect_status 0
expect_out ''
shown="chat >/dev/full"
status=0
"$gptoss" "${chat[@]}" -p hello >/dev/full 2>err || status=$?
expect_status 1
expect_line err 'standard output could not be written: No space left on device$'

finish
