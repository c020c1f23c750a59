"""Random conversations, and token streams such as a model's, for comparisons with openai-harmony."""

import json
import random

import random_text

WORDS = ["weather", "get", "the", "Berlin", "final", "analysis", "null", "object", "string", "to=user",
         "json", "a \"quoted\" word", "back\\slash", "line\nbreak", "<|start|>", "<|message|>x<|end|>",
         "<|constrain|>", "{}", "// comment", "*/", " ", "\u3010 6\u2020L9\u3011"]  # fmt: skip
ROLES = ["user", "assistant", "system", "developer", "tool"]
CHANNELS = ["analysis", "commentary", "final"]
CONTENT_TYPES = ["json", "code", "<|constrain|>json", "<|constrain|> json", "<|constrain|>", "text",
                 "x<|constrain|>json"]  # fmt: skip
RECIPIENTS = ["functions.get_weather", "browser.search", "python", "all", "user", "assistant", ""]


def text(rng: random.Random, zeros: bool = True) -> str:
    """Words, and parts that are hard on a tokenizer. Without zeros for schemas."""
    parts = [rng.choice(WORDS) if rng.random() < 0.6 else random_text.random_part(rng)
             for _ in range(rng.randint(0, 8))]  # fmt: skip
    joined = rng.choice(["", " ", " ", "\n"]).join(parts)
    return joined if zeros else joined.replace("\0", "")


def maybe(rng: random.Random, value, share: float = 0.5) -> dict:
    """{} or a copy of a dictionary."""
    return value if rng.random() < share else {}


# ---- schemas -------------------------------------------------------------------------------------


def number(rng: random.Random):
    kind = rng.randint(0, 6)
    if kind == 0:
        return rng.randint(-10, 100)
    if kind == 1:
        return rng.choice([2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30])
    if kind == 2:
        return float(rng.randint(-5, 5))
    if kind == 3:
        return rng.choice([0.1, 1e15, 1e16, 1e17, 1.5e300, 1e-5, 1e-6, 1.25e-7, 5e-324, -0.0, 0.1 + 0.2])
    if kind == 4:
        return rng.uniform(-1, 1) * 10.0 ** rng.randint(-20, 20)
    return round(rng.uniform(-100, 100), rng.randint(0, 4))


def value(rng: random.Random, depth: int = 0):
    """Any JSON."""
    kind = rng.randint(0, 7 if depth < 3 else 5)
    if kind <= 1:
        return text(rng, zeros=False)
    if kind <= 3:
        return number(rng)
    if kind == 4:
        return rng.choice([True, False])
    if kind == 5:
        return None
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {text(rng, zeros=False): value(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def strange(rng: random.Random, usual, share: float = 0.04):
    """Mostly the usual value, now and then one of a kind that a schema should not have there."""
    return value(rng) if rng.random() < share else usual


def schema(rng: random.Random, depth: int = 0) -> dict:
    out = {}
    for key, make in (("title", text), ("description", text), ("default", value), ("examples", value)):
        if rng.random() < 0.3:
            made = make(rng, zeros=False) if make is text else make(rng)
            if key == "examples" and rng.random() < 0.8:
                made = [value(rng, 3) for _ in range(rng.randint(0, 3))]
            out[key] = strange(rng, made)
    if rng.random() < 0.2:
        out["nullable"] = strange(rng, rng.random() < 0.8)
    if rng.random() < 0.2:
        out["enum"] = strange(rng, [value(rng, 3) if rng.random() < 0.3 else text(rng, zeros=False)
                                    for _ in range(rng.randint(0, 4))])  # fmt: skip
    kind = rng.random()
    deep = depth < 4
    if deep and kind < 0.2:
        variants = [schema(rng, depth + 1) for _ in range(rng.randint(0, 3))]
        if variants and "description" in out and rng.random() < 0.4:
            rng.choice(variants)["description"] = out["description"]
        out["oneOf"] = strange(rng, variants)
    elif deep and kind < 0.5:
        out.update(object_schema(rng, depth))
    elif kind < 0.6:
        out["type"] = "array"
        if rng.random() < 0.8:
            out["items"] = strange(rng, schema(rng, depth + 1) if deep else {"type": "string"})
    elif kind < 0.7:
        out["type"] = [strange(rng, rng.choice(["integer", "number", "string", "null", "object"]))
                       for _ in range(rng.randint(0, 3))]  # fmt: skip
    elif kind < 0.95:
        out["type"] = strange(rng, rng.choice(["string", "string", "number", "integer", "boolean",
                                               "null", "date", "object"]))  # fmt: skip
    else:
        out[rng.choice(["anyOf", "$ref", "const"])] = value(rng)
    items = list(out.items())
    rng.shuffle(items)
    return dict(items)


def object_schema(rng: random.Random, depth: int = 0) -> dict:
    properties = {rng.choice(["city", "unit", "a", text(rng, zeros=False)]): strange(
        rng, schema(rng, depth + 1)) for _ in range(rng.randint(0, 4))}  # fmt: skip
    required = [name for name in properties if rng.random() < 0.5]
    return {"type": "object", **maybe(rng, {"properties": strange(rng, properties)}, 0.9),
            **maybe(rng, {"required": strange(rng, required)}, 0.6)}  # fmt: skip


# ---- tools ---------------------------------------------------------------------------------------


def tool(rng: random.Random) -> dict:
    parameters = {"parameters": strange(rng, object_schema(rng), 0.1) if rng.random() < 0.8
                  else schema(rng)}  # fmt: skip
    if rng.random() < 0.05:
        parameters["parameters"] = None
    return {"name": rng.choice(["get_weather", "f", text(rng)]), "description": text(rng),
            **maybe(rng, parameters, 0.85)}  # fmt: skip


def namespace(rng: random.Random, name: str) -> dict:
    description = {"description": rng.choice([None, text(rng), "one\r\ntwo\n\n\rthree\r\n"])}
    return {"name": name, **maybe(rng, description, 0.7),
            "tools": [tool(rng) for _ in range(rng.randint(0, 3))]}  # fmt: skip


def namespaces(rng: random.Random) -> dict:
    names = [rng.choice(["functions", "functions", "browser", "python", "Z", "a", "\xe9", text(rng)])
             for _ in range(rng.randint(0, 3))]  # fmt: skip
    return {name: namespace(rng, name) for name in names}


# ---- messages ------------------------------------------------------------------------------------


def system_content(rng: random.Random) -> dict:
    out = {"type": "system_content"}
    for key in ("model_identity", "conversation_start_date", "knowledge_cutoff"):
        if rng.random() < 0.6:
            out[key] = rng.choice([None, "", "2026-11-21", "2024-06", text(rng)])
    if rng.random() < 0.8:
        out["reasoning_effort"] = rng.choice(["Low", "Medium", "High", None])
    if rng.random() < 0.3:
        out["tools"] = rng.choice([None, namespaces(rng)])
    if rng.random() < 0.8:
        channels = rng.choice([CHANNELS, [], ["final"], [text(rng), ""]])
        out["channel_config"] = {"valid_channels": channels, "channel_required": rng.random() < 0.7}
    return out


def developer_content(rng: random.Random) -> dict:
    out = {"type": "developer_content"}
    out.update(maybe(rng, {"instructions": rng.choice([None, "", text(rng), text(rng)])}, 0.8))
    out.update(maybe(rng, {"tools": rng.choice([None, namespaces(rng), namespaces(rng)])}, 0.7))
    return out


def content(rng: random.Random, role: str):
    if role == "system" and rng.random() < 0.8 or rng.random() < 0.01:
        return [system_content(rng)]
    if role == "developer" and rng.random() < 0.8 or rng.random() < 0.01:
        return [developer_content(rng)]
    if rng.random() < 0.7:
        return text(rng)
    return [{"type": "text", "text": text(rng)} for _ in range(rng.randint(0, 3))]


def message(rng: random.Random, role: str) -> dict:
    out = {"role": role, "content": content(rng, role)}
    named = 0.99 if role == "tool" else 0.1
    out.update(maybe(rng, {"name": rng.choice(["functions.get_weather", "alice", text(rng)])}, named))
    if role in ("assistant", "tool"):
        out.update(maybe(rng, {"channel": rng.choice([*CHANNELS, *CHANNELS, text(rng)])}, 0.9))
        out.update(maybe(rng, {"recipient": rng.choice([*RECIPIENTS, text(rng)])}, 0.4))
        out.update(maybe(rng, {"content_type": rng.choice([*CONTENT_TYPES, text(rng)])}, 0.3))
    elif rng.random() < 0.1:
        out.update({"channel": rng.choice(CHANNELS), "recipient": None, "content_type": None})
    items = list(out.items())
    rng.shuffle(items)
    return dict(items)


def turn(rng: random.Random) -> list[dict]:
    """A question, and what may come up to its answer."""
    out = [message(rng, "user")]
    for _ in range(rng.randint(0, 2)):
        out.append({"role": "assistant", "channel": "analysis", "content": text(rng)})
        if rng.random() < 0.5:
            out.append({"role": "assistant", "channel": "commentary", "recipient": "functions.f",
                        "content_type": rng.choice(CONTENT_TYPES), "content": json.dumps(value(rng))})
            out.append({"role": "tool", "name": "functions.f", "recipient": "assistant",
                        "channel": "commentary", "content": text(rng)})
    if rng.random() < 0.8:
        out.append({"role": "assistant", "channel": "final", "content": text(rng)})
    return out


def conversation(rng: random.Random) -> dict:
    """Half of them are as a chat has them, the others are messages of all kinds in any order."""
    messages = []
    if rng.random() < 0.5:
        messages.append(message(rng, "system"))
        messages += [message(rng, "developer") for _ in range(rng.randint(0, 1))]
        for _ in range(rng.randint(0, 3)):
            messages += turn(rng)
    else:
        messages = [message(rng, rng.choice(ROLES)) for _ in range(rng.randint(0, 5))]
    return {"messages": messages}


# ---- token streams -------------------------------------------------------------------------------


def header(rng: random.Random, encode, special: dict[str, int], role: str) -> list[int]:
    """What can stand between <|start|> and <|message|>."""
    out = []
    channel = rng.choice([*CHANNELS, *CHANNELS, "x", "analysis extra"])
    recipient = encode(" to=" + rng.choice(RECIPIENTS)) if rng.random() < 0.4 else []
    before = rng.random() < 0.5
    out += encode(role)
    if before:
        out += recipient
    if rng.random() < 0.95:
        out += [special["<|channel|>"], *encode(channel)]
    if not before:
        out += recipient
    kind = rng.random()
    if kind < 0.2:
        out += [*encode(rng.choice(["", " "])), special["<|constrain|>"], *encode("json")]
    elif kind < 0.35:
        out += encode(rng.choice([" json", " code", "  code", "\tcode ", "\xa0code\u2003"]))
    return out


def stream(rng: random.Random, encode, special: dict[str, int], role: str) -> list[int]:
    """Messages as a model writes them after a prompt that ended with `role`; "" for the whole."""
    out = []
    for i in range(rng.randint(1, 4)):
        author = role if i == 0 else rng.choice(["assistant"] * 4 + ["user", "tool", "functions.f"])
        if i > 0 or role == "":
            out.append(special["<|start|>"])
            author = author or "assistant"
        out += header(rng, encode, special, author if i > 0 or out else "")
        out.append(special["<|message|>"])
        out += encode(text(rng))
        if rng.random() < 0.2:
            out += [rng.randint(0, 255) for _ in range(rng.randint(1, 6))]  # bytes, mostly no UTF-8
        out.append(special[rng.choice(["<|end|>", "<|end|>", "<|return|>", "<|call|>"])])
    return out if rng.random() < 0.85 else out[:-1]


def corrupted(rng: random.Random, ids: list[int], special: dict[str, int], largest: int) -> list[int]:
    """A stream with some tokens lost, doubled, moved, replaced or added."""
    out = list(ids)
    control = list(special.values())
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randint(0, len(out))
        kind = rng.randint(0, 6)
        marks = [i for i, t in enumerate(out) if t in control]
        if kind <= 1 and marks:
            del out[rng.choice(marks)]
        elif kind == 2 and out:
            del out[at : at + rng.randint(1, 5)]
        elif kind == 3:
            out.insert(at, rng.choice(control))
        elif kind == 4:
            out.insert(at, rng.randint(0, largest))
        elif kind == 5 and out:
            out[min(at, len(out) - 1)] = rng.choice([rng.choice(control), rng.randint(0, 300)])
        else:
            out = out[:at]
    return out
