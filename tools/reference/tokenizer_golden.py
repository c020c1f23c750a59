#!/usr/bin/env python3
"""Writes tests/golden/o200k/strings.bin.gz: random strings and the ids that tiktoken gives them.

The format is told in the README beside it. Needs tiktoken; touches no network.
"""

import gzip
import struct
from pathlib import Path

import o200k
import random_text
import tiktoken

SEED = 20250805
COUNT = 3000
OUTPUT = Path(__file__).parents[2] / "tests/golden/o200k/strings.bin.gz"


def record(text: bytes, ids: list[int]) -> bytes:
    """One record of the file."""
    head = struct.pack("<I", len(text)) + text + struct.pack("<I", len(ids))
    return head + struct.pack(f"<{len(ids)}I", *ids)


def main() -> None:
    encoding = o200k.load_encoding()
    origin = f"tools/reference/tokenizer_golden.py seed {SEED}, tiktoken {tiktoken.__version__}"
    out = record(origin.encode(), [])
    tokens = 0
    for text in random_text.random_strings(SEED, COUNT):
        ids = encoding.encode_ordinary(text.decode("utf-8", "replace"))
        tokens += len(ids)
        out += record(text, ids)
    OUTPUT.write_bytes(gzip.compress(out, 9, mtime=0))
    print(f"{OUTPUT}: {COUNT} strings, {tokens} tokens, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
