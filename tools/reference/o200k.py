"""o200k_base from its file of ranks: the ranks, tiktoken's encoding of them, harmony's specials."""

import base64
import gzip
import hashlib
from pathlib import Path

RANKS = Path(__file__).parents[2] / "tests/golden/o200k/o200k_base.tiktoken.gz"
RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join([
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_SUFFIX}",
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_SUFFIX}",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])  # fmt: skip

_NAMED = {
    199998: "startoftext", 199999: "endoftext", 200002: "return", 200003: "constrain",
    200005: "channel", 200006: "start", 200007: "end", 200008: "message", 200012: "call",
    200018: "endofprompt",
}  # fmt: skip
SPECIALS = {f"<|{_NAMED.get(i, f'reserved_{i}')}|>": i for i in range(199998, 200019)}


def read_ranks_file() -> bytes:
    """The bytes of o200k_base.tiktoken, checked."""
    data = gzip.decompress(RANKS.read_bytes())
    digest = hashlib.sha256(data).hexdigest()
    assert digest == RANKS_SHA256, f"{RANKS}: sha256 {digest}"
    return data


def load_ranks(file: bytes | None = None) -> dict[bytes, int]:
    """Rank, which is id, of every token; of o200k_base.tiktoken unless another file is given."""
    pairs = (line.split() for line in (file or read_ranks_file()).splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def load_encoding(file: bytes | None = None):
    """tiktoken's own encoder over these ranks; touches no network."""
    import tiktoken

    return tiktoken.Encoding(
        "o200k_harmony", pat_str=PATTERN, mergeable_ranks=load_ranks(file), special_tokens=SPECIALS
    )
