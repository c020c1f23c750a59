#!/usr/bin/env python3
"""Rebuilds the hub's tokenizer.json of gpt-oss, byte for byte, from o200k_base's ranks.

    tools/reference/make_tokenizer_json.py -o tokenizer.json

Needs nothing but Python. Every way to split a token into two tokens is a merge; they are ordered by
the token's rank, then the left part's.
"""

import argparse
import hashlib
import json
from pathlib import Path

import o200k

SHA256 = "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3"


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable character for every byte, as a table for str.translate over Latin-1."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def list_merges(tokens: list[bytes], ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """All splits in the order of the file."""
    merges = []
    for token in tokens:
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        splits = [(left, right) for left, right in cuts if left in ranks and right in ranks]
        merges += sorted(splits, key=lambda pair: ranks[pair[0]])
    return merges


def byte_level(**changes: bool) -> dict:
    """A ByteLevel component with transformers' defaults."""
    settings = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return {"type": "ByteLevel", **settings, **changes}


def build_document() -> dict:
    """The document, its members in the file's order."""
    ranks = o200k.load_ranks()
    tokens = sorted(ranks, key=ranks.get)
    alphabet = byte_alphabet()
    spell = {token: token.decode("latin-1").translate(alphabet) for token in tokens}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    split = {
        "type": "Split", "pattern": {"Regex": o200k.PATTERN}, "behavior": "Isolated",
        "invert": False,
    }  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": text, **flags, "special": True}
            for text, i in o200k.SPECIALS.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, byte_level(add_prefix_space=False, use_regex=False)],
        },
        "post_processor": byte_level(trim_offsets=False),
        "decoder": byte_level(),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {spell[token]: ranks[token] for token in tokens},
            "merges": [(spell[a], spell[b]) for a, b in list_merges(tokens, ranks)],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("tokenizer.json"))
    output = parser.parse_args().output
    data = json.dumps(build_document(), ensure_ascii=False, indent=2).encode()
    digest = hashlib.sha256(data).hexdigest()
    assert digest == SHA256, f"sha256 {digest}, expected {SHA256}"
    output.write_bytes(data)
    print(f"{output}: {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
