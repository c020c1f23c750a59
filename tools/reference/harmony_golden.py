#!/usr/bin/env python3
"""Writes tests/golden/harmony/vectors.jsonl.gz: what openai-harmony makes of random conversations
and token streams.

The format is told in the README beside it. Needs openai-harmony; touches no network.
"""

import gzip
import importlib.metadata
import json
import os
import random
import tempfile
from pathlib import Path

import o200k
import random_harmony

SEED = 20250805
CONVERSATIONS = 120
STREAMS = 300
OUTPUT = Path(__file__).parents[2] / "tests/golden/harmony/vectors.jsonl.gz"
NAMES = ["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>"]


def load_harmony():
    """openai-harmony over the ranks in the tree."""
    import openai_harmony

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "o200k_base.tiktoken").write_bytes(o200k.read_ranks_file())
        os.environ["TIKTOKEN_ENCODINGS_BASE"] = folder
        return openai_harmony.load_harmony_encoding("HarmonyGptOss")._inner


def rendered(harmony, rng: random.Random) -> dict:
    """A record of a conversation; "ids" is null when it is refused."""
    conversation = json.dumps(random_harmony.conversation(rng), ensure_ascii=False)
    history = rng.choice(["harmony", "harmony", "all"])
    ending = rng.choice(["completion", "completion", "none", "training"])
    config = {"auto_drop_analysis": history == "harmony"}
    try:
        if ending == "completion":
            ids = harmony.render_conversation_for_completion(conversation, "assistant", config)
        elif ending == "training":
            ids = harmony.render_conversation_for_training(conversation, config)
        else:
            ids = harmony.render_conversation(conversation, config)
    except Exception:
        ids = None
    return {"conversation": conversation, "history": history, "ending": ending, "ids": ids}


def parsed(harmony, rng: random.Random) -> dict:
    """A record of a stream; "messages" is null when it is refused, else JSON in a string."""
    special = {name: o200k.SPECIALS[name] for name in NAMES}
    role = rng.choice(["assistant", "assistant", "none", "tool"])
    ids = random_harmony.stream(rng, lambda text: harmony.encode(text, None), special,
                                "" if role == "none" else role)  # fmt: skip
    if rng.random() < 0.6:
        ids = random_harmony.corrupted(rng, ids, special, 201087)
    try:
        messages = harmony.parse_messages_from_completion_tokens(
            ids, None if role == "none" else role, True)  # fmt: skip
    except Exception:
        messages = None
    return {"stream": ids, "role": role, "messages": messages}


def main() -> None:
    harmony = load_harmony()
    rng = random.Random(SEED)
    version = importlib.metadata.version("openai-harmony")
    records = [{"origin": f"tools/reference/harmony_golden.py seed {SEED}, openai-harmony {version}"}]
    records += [rendered(harmony, rng) for _ in range(CONVERSATIONS)]
    records += [parsed(harmony, rng) for _ in range(STREAMS)]
    lines = "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in records)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))
    refused = sum(r.get("ids", 0) is None or r.get("messages", 0) is None for r in records)
    print(f"{OUTPUT}: {len(records) - 1} records, {refused} refused, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
