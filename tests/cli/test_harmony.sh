#!/usr/bin/env bash
# Conversations to prompts, and what a model said to messages.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

mkdir model
cp "$here/data/tokenizer.json" model/

# ---- render ----------------------------------------------------------------------------------------

cat >hello.json <<'END'
{"messages": [{"role": "user", "content": "hello <|end|>"}]}
END
run render -m model -f hello.json
expect_status 0
expect_out '<|start|>user<|message|>hello <|end|><|end|><|start|>assistant'
expect_err

# What a message says is never a control token: only the last <|end|> is 296.
run render -m model -f hello.json --ids
expect_status 0
expect_line out '^\[295, .*\]$'
expect "one <|end|>" test "$(tr -s '[], ' '\n' <out | grep -cx 296)" == 1
ids=$(cat out)
run tokenize -m model --decode --ids "$ids"
expect_out '<|start|>user<|message|>hello <|end|><|end|><|start|>assistant'

# Standard input, and the array alone.
printf '[{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b", "type": "text"}]}]' >in
run render -m model -f -
expect_out '<|start|>user<|message|>ab<|end|><|start|>assistant'
run render -m model -f - --ending none
expect_out '<|start|>user<|message|>ab<|end|>'
run render -m model -f - --role tool
expect_out '<|start|>user<|message|>ab<|end|><|start|>tool'

# A system message, a developer's with tools, a call, its result, and an answer.
cat >tools.json <<'END'
{"messages": [
 {"role": "system", "content": [{"type": "system_content", "model_identity": "You are a test.",
  "conversation_start_date": "2026-11-21", "knowledge_cutoff": "2024-06", "reasoning_effort": "High",
  "channel_config": {"valid_channels": ["analysis", "final"], "channel_required": true}}]},
 {"role": "developer", "content": [{"type": "developer_content", "instructions": "Be brief.",
  "tools": {"functions": {"name": "functions", "tools": [{"name": "get", "description": "Gets.",
   "parameters": {"type": "object", "properties": {"n": {"type": "integer", "default": 1.0}}}}]}}}]},
 {"role": "user", "content": "one"},
 {"role": "assistant", "channel": "analysis", "content": "think"},
 {"role": "assistant", "channel": "commentary", "recipient": "functions.get",
  "content_type": "<|constrain|>json", "content": "{}"},
 {"role": "tool", "name": "functions.get", "recipient": "assistant", "channel": "commentary",
  "content": "2"},
 {"role": "assistant", "channel": "final", "content": "Two."}]}
END
system='<|start|>system<|message|>You are a test.\nKnowledge cutoff: 2024-06\nCurrent date: 2026-11-21\n\nReasoning: high\n\n# Valid channels: analysis, final. Channel must be included for every message.\nCalls to these tools must go to the commentary channel: '"'functions'"'.<|end|>'
developer='<|start|>developer<|message|># Instructions\n\nBe brief.\n\n# Tools\n\n## functions\n\nnamespace functions {\n\n// Gets.\ntype get = (_: {\nn?: number, // default: 1.0\n}) => any;\n\n} // namespace functions<|end|>'
user='<|start|>user<|message|>one<|end|>'
analysis='<|start|>assistant<|channel|>analysis<|message|>think<|end|>'
call='<|start|>assistant to=functions.get<|channel|>commentary <|constrain|>json<|message|>{}<|call|><|start|>functions.get to=assistant<|channel|>commentary<|message|>2<|end|>'
final='<|start|>assistant<|channel|>final<|message|>Two.'
run render -m model -f tools.json
expect_status 0
expect_out "$system$developer$user$call$final<|end|><|start|>assistant"
run render -m model -f tools.json --history turns
expect_out "$system$developer$user$analysis$call$final<|end|><|start|>assistant"
run render -m model -f tools.json --history all --ending training
expect_out "$system$developer$user$analysis$call$final<|return|>"

# Many at once.
printf '[{"role":"user","content":""}]\0[{"role":"tool","content":""}]\0[]' >in
run render -m model -f - --null
expect_status 1
expect_err
expect "three lines" test "$(wc -l <out)" == 3
expect_line out "^\{\"error\": \"expected the tool's name in a tool message, found none\"\}$"
expect_line out '^\[295, [0-9, ]*\]$'

# ---- refused -------------------------------------------------------------------------------------

# refused SENTENCE JSON
refused()
{
    printf '%s' "$2" >bad.json
    run render -m model -f bad.json
    expect_status 1
    expect_out ''
    expect_err "gptoss: $1"
}

refused 'bad.json: byte 2: expected "messages" before' '{}'
refused 'bad.json: byte 12: expected an array, found '"'3'" '{"messages":3}'
refused 'bad.json: byte 17: expected the message'\''s "role" and "content" before' \
    '[{"role":"user" } ]'
refused 'bad.json: byte 15: expected a role (assistant, user, system, developer or tool) before' \
    '[{"role":"boss","content":""}]'
refused 'bad.json: byte 45: expected a content of the type "text", "system_content" or "developer_content" before' \
    '[{"role":"user","content":[{"type":"picture"}]}]'
refused 'expected system content in a system message only, found it in one of the role user' \
    '[{"role":"user","content":[{"type":"system_content"}]}]'
refused 'bad.json: byte 96: expected the namespace "a" to have that name, found "b"' \
    '[{"role":"developer","content":[{"type":"developer_content","tools":{"a":{"name":"b","tools":[]}}}]}]'
run render -m model
expect_status 2
expect_err 'gptoss render: expected a conversation, -f FILE, found none'
run render -f hello.json
expect_status 2
expect_err 'gptoss render: expected -m PATH or --tokenizer FILE, found neither'
run render -m model -f hello.json --history some
expect_status 2
expect_err 'gptoss render: --history: expected harmony, turns or all, found "some"'
run render -m model -f absent.json
expect_status 1
expect_err 'gptoss: absent.json could not be opened: No such file or directory'

# ---- parse ---------------------------------------------------------------------------------------

said='<|channel|>analysis<|message|>think\n\nmore<|end|><|start|>assistant to=functions.get<|channel|>commentary <|constrain|>json<|message|>{"n": 1}<|call|>'
run parse -m model -e -p "$said"
expect_status 0
expect_out '[assistant channel=analysis]\nthink\n\nmore\n[assistant to=functions.get channel=commentary type=<|constrain|>json]\n{"n": 1}\n'
# shellcheck disable=SC2059
printf "$said" >said
run parse -m model -f said --json --strict
expect_status 0
expect_out '{"messages": [{"role": "assistant", "channel": "analysis", "content": "think\\n\\nmore"}, {"role": "assistant", "recipient": "functions.get", "channel": "commentary", "content_type": "<|constrain|>json", "content": "{\\"n\\": 1}"}]}\n'

# What parse prints, render reads.
cp out messages.json
run render -m model -f messages.json --ending none --history all
expect_out "<|start|>assistant$said"

# From the first <|start|> on, and by ids.
run render -m model -f tools.json --history all --ending none --ids
cp out in
run parse -m model --ids - --role none --json
expect_status 0
expect_json out tool messages 5 role
expect_json out functions.get messages 5 name
expect_json out Two. messages 6 content

# Nothing is lost unless --strict asks for it.
run parse -m model -p '<|channel|>final hello the<|end|>' --json
expect_status 0
expect_out '{"messages": [{"role": "assistant", "channel": "final", "content": " hello the"}]}\n'
run parse -m model -p '<|channel|>final hello the<|end|>' --strict
expect_status 1
expect_out ''
expect_err 'gptoss: expected <|message|> after a message'\''s header, found the end'
run parse -m model -p 'hello' --role none --strict
expect_status 1
expect_err 'gptoss: expected <|start|> before a message, found the token 259'
run parse -m model -p 'hello' --role none
expect_out '[assistant]\nhello\n'
printf '259\0[295]\0' >in
run parse -m model --ids - --null --role none --strict
expect_status 1
expect_line out '^\{"error": "expected <\|start\|> before a message, found the token 259"\}$'
expect "two lines" test "$(wc -l <out)" == 2

run parse -m model
expect_status 2
expect_err 'gptoss parse: expected one of --ids IDS, -p TEXT and -f FILE, found none'
run parse -m model -p a --ids 1
expect_status 2
expect_err 'gptoss parse: expected one of --ids IDS, -p TEXT and -f FILE, found several'
run parse -m model -p a --null
expect_status 2
expect_err 'gptoss parse: --null: expected --ids - with it'
run parse -m model --ids 1,x
expect_status 2

finish
