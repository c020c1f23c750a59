"""Random strings that are hard on a tokenizer of o200k's kind."""

import random
from collections.abc import Iterator

# What the pre-tokenizer's rules turn on, and what implementations get wrong.
CONTRACTIONS = ["'s", "'S", "'\u017f", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'VE", "'m", "'M",
                "'ll", "'LL", "'lL", "'d", "'D", "'", "\u2019s", "'x"]  # fmt: skip
SPACES = [" ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\v", "\f", "\x1c", "\x85", "\xa0", "\u1680",
          "\u180e", "\u2000", "\u2009", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
          "\ufeff", "\u2060"]  # fmt: skip
MARKS = ["\u0301", "\u0308", "\u0327", "\u20dd", "\u20e3", "\u093f", "\u0e31", "\u064e", "\ufe0f",
         "\u3099"]  # fmt: skip
EMOJI = ["\U0001f600", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea",
         "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3"]  # fmt: skip
CASES = ["a", "b", "A", "Z", "\xe9", "\xc9", "\xdf", "\u01c5", "\u02b0", "\xaa", "\u0130", "\u0131",
         "\u017f", "\u212a", "\u1c89", "\u1c8a", "\u0378", "Camel", "CASE", "word", "the", "\u042f",
         "\u044f", "\u03a3", "\u03c2"]  # fmt: skip
UNCASED = ["\u4e00", "\u6f22\u5b57", "\u3042", "\u30a2\u30fc", "\ud55c\uad6d", "\u05e2", "\u0639",
           "\u0915\u094d\u0937", "\u0e01", "\U00020000"]  # fmt: skip
NUMBERS = ["0", "7", "42", "1234", "\xb2", "\xbd", "\u2167", "\u0967", "\u4e8c", "\U0001d7d8"]
OTHERS = [".", ",", "!", "?", "--", "/", "//", "://", "<|start|>", "<|end|>", "_", "$", "\xab",
          "\u3002", "()", "#", "\x00", "\x7f", "\ue000", "\uffff"]  # fmt: skip
POOLS = [CONTRACTIONS, SPACES, SPACES, MARKS, EMOJI, CASES, CASES, UNCASED, NUMBERS, OTHERS]
BROKEN = [b"\x80", b"\xbf", b"\xc0", b"\xc2", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xbf\xbf",
          b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xff"]  # fmt: skip

# Where the blocks are, and how often each part is drawn from.
REGIONS = [(0x0, 0x7FF, 3), (0x800, 0x33FF, 4), (0x3400, 0xABFF, 1), (0xAC00, 0xD7FF, 1),
           (0xF900, 0xFFFF, 1), (0x10000, 0x11FFF, 2), (0x12000, 0x1CFFF, 1),
           (0x1D000, 0x1FBFF, 2), (0x20000, 0x323AF, 1), (0xE0000, 0xE01EF, 1)]  # fmt: skip
WEIGHTS = [weight for _, _, weight in REGIONS]


def random_part(rng: random.Random) -> str:
    """A few characters."""
    kind = rng.random()
    if kind < 0.6:
        part = rng.choice(rng.choice(POOLS))
        return part * (1 if rng.random() < 0.85 else rng.randint(2, 12))
    if kind < 0.9:
        first, last, _ = rng.choices(REGIONS, WEIGHTS)[0]
        return chr(rng.randint(first, last))
    code = rng.randint(0, 0x10FFFF)  # unassigned and private too
    return chr(code if not 0xD800 <= code <= 0xDFFF else 0xFFFD)


def random_strings(seed: int, count: int, broken: float = 0.1) -> Iterator[bytes]:
    """Strings of 0 to 40 parts; `broken` is the share with ill-formed UTF-8."""
    rng = random.Random(seed)
    for _ in range(count):
        text = "".join(random_part(rng) for _ in range(rng.randint(0, 40))).encode()
        if rng.random() < broken:
            for _ in range(rng.randint(1, 3)):
                at = rng.randint(0, len(text))
                text = text[:at] + rng.choice(BROKEN) + text[at:]
        yield text
