"""Random chats as the hub's template takes them, and the same chats as conversations in harmony.

A chat is made with a set of features, each one a way in which the template and openai-harmony
differ (docs/HARMONY.md has a row for each). Without features the two must agree.
"""

import json
import random

DATE = "2026-11-21"
WORDS = ["the", "weather", "in", "Berlin", "1,234", "caf\xe9", "\u6f22\u5b57", "x\ny", "'s", "  two",
         "\U0001f600"]  # fmt: skip

FEATURES = {
    "date": "no date is given",
    "instructions": "instructions without tools",
    "empty-instructions": "empty instructions",
    "later-instructions": "a system or developer message after the first message",
    "effort": "an effort beside low, medium and high",
    "unknown-tool": "a built-in tool that is none",
    "description-lines": "a function's description of several lines",
    "no-properties": "parameters without properties",
    "untyped-parameters": "parameters that are not said to be an object",
    "empty-description": "an empty description of a parameter",
    "default": "a default value",
    "title": "a title or examples",
    "schema-description": "a description of the parameters as a whole, or inside a type",
    "nested-object": "an object inside the parameters",
    "type-list": "integer in a list of types",
    "one-of": "oneOf",
    "enum": "an enum with values that are no strings, or that may be null",
    "nullable": "numbers, booleans and any type that may be null",
    "array": "arrays without items, and items that are not plain types",
    "thinking": "analysis of an answer without a tool call",
    "thinking-between": "analysis of a tool call between two answers",
    "several-calls": "several tool calls in one message",
    "call-content": "a text beside a tool call",
    "result-name": "a tool's name that is not that of the last call",
    "stray-result": "a tool's result without a call",
    "constrain": "the content type <|constrain|>json",
    "string-arguments": "a tool call's arguments as a string",
    "text-result": "a tool's result that is a text",
    "training": "no prompt for generation",
    "markup": "an assistant's text with control tokens in it",
    "control-tokens": "names of control tokens in a text",
    "names": "a name of the author",
}  # fmt: skip


def words(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))


def line(rng: random.Random) -> str:
    return words(rng).replace("\n", " ")


# ---- tools ---------------------------------------------------------------------------------------


def plain_type(rng: random.Random) -> dict:
    kind = rng.randint(0, 9)
    if kind == 0:
        return {"type": "string", "enum": [line(rng), "b"]}
    if kind == 7:
        return {"type": "array", "items": {"type": "string"}, "nullable": True}
    if kind == 8:
        return {"type": "number", "enum": [1, 2]}
    if kind == 9:
        return {"anyOf": [{"type": "string"}, {"type": "null"}], "enum": []}
    if kind == 1:
        return {"type": "array", "items": {"type": rng.choice(["string", "number", "integer", "boolean"])}}
    if kind == 2:
        return {"type": ["number", "string", "null"]}
    if kind == 3:
        return {"type": "string", "nullable": True}
    return {"type": rng.choice(["string", "number", "integer", "boolean", "date"])}


def odd_type(rng: random.Random, features: set[str]) -> dict:
    """A type with one of the features in it, if any of them is about types."""
    options = {
        "nested-object": {"type": "object", **rng.choice([{}, {"properties": {"a": {}}}])},
        "type-list": {"type": ["integer", "null"]},
        "one-of": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "enum": rng.choice([{"type": "string", "enum": ["a", 1]},
                            {"type": "string", "enum": ["a"], "nullable": True}]),
        "nullable": {"type": rng.choice(["number", "boolean", "date", ["string", "number"]]),
                     "nullable": True},
        "array": rng.choice([{"type": "array"},
                             {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}]),
    }  # fmt: skip
    chosen = [options[f] for f in options if f in features]
    return rng.choice(chosen) if chosen else plain_type(rng)


def parameter(rng: random.Random, features: set[str]) -> dict:
    out = odd_type(rng, features) if rng.random() < 0.6 else plain_type(rng)
    if rng.random() < 0.5:
        out["description"] = "" if "empty-description" in features else words(rng)
    if "default" in features and rng.random() < 0.5:
        out["default"] = rng.choice([1, "x"])
    if "title" in features and rng.random() < 0.5:
        out.update(rng.choice([{"title": line(rng)}, {"examples": [line(rng)]}]))
    return out


def function(rng: random.Random, features: set[str]) -> dict:
    names = [f"p{i}" for i in range(rng.randint(1, 4))]
    parameters = {"type": "object", "properties": {n: parameter(rng, features) for n in names},
                  "required": [n for n in names if rng.random() < 0.5]}  # fmt: skip
    if "no-properties" in features and rng.random() < 0.5:
        parameters["properties"] = {}
    if "untyped-parameters" in features:
        del parameters["type"]
    if "schema-description" in features:
        parameters["description"] = line(rng)
    description = words(rng) if "description-lines" in features else line(rng)
    out = {"name": f"f{rng.randint(0, 9)}", "description": description}
    return out | ({"parameters": parameters} if rng.random() < 0.9 else {})


# ---- messages ------------------------------------------------------------------------------------


def said(rng: random.Random, features: set[str]) -> str:
    if "control-tokens" in features and rng.random() < 0.5:
        return words(rng) + "<|end|><|start|>system<|message|>"
    return words(rng)


def call(rng: random.Random, features: set[str]) -> tuple[list[dict], list[dict]]:
    """A message with a tool call and its result, for the template and for harmony."""
    arguments = rng.choice([{"city": words(rng), "n": 1.5}, {}])
    text = json.dumps(arguments, ensure_ascii=False)
    made = {"name": "f0", "arguments": text if "string-arguments" in features else arguments}
    kind = "<|constrain|>json" if "constrain" in features else "json"
    if rng.random() < 0.2 and kind == "json":
        kind = made["content_type"] = "code"
    calls = [{"function": made}] * (2 if "several-calls" in features else 1)
    hub = [{"role": "assistant", "tool_calls": calls}]
    harmony = []
    if rng.random() < 0.5 or "thinking-between" in features:
        hub[0]["thinking"] = words(rng)
        harmony.append({"role": "assistant", "channel": "analysis", "content": hub[0]["thinking"]})
    if "call-content" in features:
        hub[0].pop("thinking", None)
        hub[0]["content"] = words(rng)
        harmony = [{"role": "assistant", "channel": "commentary", "content": hub[0]["content"]}]
    if "stray-result" in features:
        hub = []
        harmony = []
        calls = []
    harmony += [{"role": "assistant", "recipient": "functions.f0", "channel": "commentary",
                 "content_type": kind, "content": text} for _ in calls]  # fmt: skip
    result = words(rng) if "text-result" in features else {"t": words(rng)}
    hub.append({"role": "tool", "content": result})
    harmony.append({
        "role": "tool", "recipient": "assistant", "channel": "commentary",
        "name": "functions.f1" if "result-name" in features else "functions.f0",
        "content": result if isinstance(result, str) else json.dumps(result, ensure_ascii=False),
    })  # fmt: skip
    return hub, harmony


def answer(rng: random.Random, features: set[str]) -> tuple[dict, list[dict]]:
    hub = {"role": "assistant", "content": said(rng, features)}
    harmony = []
    if "markup" in features:
        hub["content"] += "<|channel|>final<|message|>"
    if "thinking" in features:
        hub["thinking"] = words(rng)
        harmony.append({"role": "assistant", "channel": "analysis", "content": hub["thinking"]})
    harmony.append({"role": "assistant", "channel": "final", "content": hub["content"]})
    return hub, harmony


def dialogue(rng: random.Random, features: set[str]) -> tuple[list[dict], list[dict]]:
    """Questions and answers; a call may be in any turn. Analysis comes with calls alone, and before
    the first answer only, where both leave it out once the last turn is answered."""
    hub: list[dict] = []
    harmony: list[dict] = []
    turns = rng.randint(1, 3)
    last_open = rng.random() < 0.5 and turns == 1
    for turn in range(turns):
        question = {"role": "user", "content": said(rng, features)}
        if "names" in features:
            question["name"] = "alice"
        hub.append(question)
        harmony.append(dict(question))
        if "later-instructions" in features:
            hub.append({"role": "system", "content": words(rng)})
            harmony.append({"role": "system", "content": hub[-1]["content"]})
        if turn == 0 or "thinking-between" in features:
            if rng.random() < 0.5:
                more, same = call(rng, features)
                hub += more
                harmony += same
        if not last_open:
            reply, same = answer(rng, features)
            hub.append(reply)
            harmony += same
    return hub, harmony


# ---- chats ---------------------------------------------------------------------------------------


def system_content(rng: random.Random, features: set[str], keywords: dict, spaces: dict) -> dict:
    effort = rng.choice(["low", "medium", "high"])
    keywords["reasoning_effort"] = "minimal" if "effort" in features else effort
    out = {"type": "system_content", "knowledge_cutoff": "2024-06",
           "reasoning_effort": effort.capitalize(),
           "model_identity": "You are ChatGPT, a large language model trained by OpenAI.",
           "channel_config": {"valid_channels": ["analysis", "commentary", "final"],
                              "channel_required": True}}  # fmt: skip
    if "date" not in features:
        out["conversation_start_date"] = DATE
    if rng.random() < 0.3:
        keywords["model_identity"] = out["model_identity"] = words(rng)
    builtin = [name for name in ("browser", "python") if rng.random() < 0.3]
    if "unknown-tool" in features:
        builtin = ["calculator"]
    if builtin:
        keywords["builtin_tools"] = builtin
        out["tools"] = {name: spaces[name] for name in builtin if name in spaces}
    return out


def chat(rng: random.Random, features: set[str], spaces: dict) -> tuple[dict, dict, str]:
    """Keywords for the template, the conversation, and how `gptoss render` ends it. `spaces` has the
    namespaces of the built-in tools."""
    keywords: dict = {"add_generation_prompt": "training" not in features}
    system = system_content(rng, features, keywords, spaces)
    functions = [function(rng, features) for _ in range(rng.randint(1, 2))]
    messages, harmony = dialogue(rng, features)
    developer: dict = {"type": "developer_content"}
    tools = rng.random() < 0.7 and "instructions" not in features
    if "empty-instructions" in features:
        tools = True
    if features & {"instructions", "empty-instructions"} or (tools and rng.random() < 0.5):
        developer["instructions"] = "" if "empty-instructions" in features else words(rng)
        messages.insert(0, {"role": rng.choice(["system", "developer"]),
                            "content": developer["instructions"]})  # fmt: skip
    if tools:
        keywords["tools"] = [{"type": "function", "function": f} for f in functions]
        developer["tools"] = {"functions": {"name": "functions", "tools": functions}}
    start = [{"role": "system", "content": [system]}]
    if len(developer) > 1:
        start.append({"role": "developer", "content": [developer]})
    keywords["messages"] = messages
    return keywords, {"messages": start + harmony}, "none" if "training" in features else "completion"
