"""Token ids against tiktoken's o200k, and the shipped model's against Hugging Face's tokenizers.

The seed is fixed; GPTOSS_LIVE_SEED draws other strings, GPTOSS_LIVE_STRINGS and GPTOSS_LIVE_MB set
how many of them and how much text. Text is what the machine has in many languages (message
catalogues and manual pages below GPTOSS_LIVE_TEXT, by default /usr/share), then made-up words of
every script.
"""

import gettext
import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import time
import unicodedata

import make_tokenizer_json
import o200k
import pytest
import random_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("GPTOSS_LIVE_SEED", 1))
STRINGS = int(os.environ.get("GPTOSS_LIVE_STRINGS", 100_000))
TEXT_BYTES = int(os.environ.get("GPTOSS_LIVE_MB", 32)) * 1_000_000
TEXT_FOLDERS = os.environ.get("GPTOSS_LIVE_TEXT", "/usr/share").split(":")
MAX_DOCUMENT = 200_000  # bytes


# ---- what is compared ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def encoding():
    return o200k.load_encoding()


@pytest.fixture(scope="session", params=["tokenizer.json", "o200k_base.tiktoken"])
def tokenizer_file(request, tmp_path_factory) -> pathlib.Path:
    """gpt-oss's tokenizer in both of its forms."""
    path = tmp_path_factory.mktemp("tokenizer") / request.param
    if path.suffix == ".json":
        document = make_tokenizer_json.build_document()
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
    else:
        path.write_bytes(o200k.read_ranks_file())
    return path


class Batch:
    """Texts and their ids by the program under test."""

    def __init__(self, program, folder: pathlib.Path):
        self.program = program.gptoss
        self.file = folder / "texts"

    def ids(self, tokenizer: pathlib.Path, texts: list[bytes], *options: str) -> list[list[int]]:
        self.file.write_bytes(b"".join(text + b"\0" for text in texts))
        command = [self.program, "tokenize", "--tokenizer", tokenizer, "--null", "-f", self.file]
        done = subprocess.run([*command, *options], capture_output=True)
        self.file.unlink()
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def batch(program, tmp_path) -> Batch:
    return Batch(program, tmp_path)


def differences(texts: list[bytes], found: list[list[int]], expected: list[list[int]]) -> int:
    """How many differ; prints the first few."""
    assert len(found) == len(texts) == len(expected)
    wrong = [i for i in range(len(texts)) if found[i] != expected[i]]
    for i in wrong[:3]:
        at = next((k for k, (a, b) in enumerate(zip(found[i], expected[i])) if a != b), 0)
        print(f"text {i} {texts[i][:80]!r}: from token {at} {found[i][at : at + 8]}, "
              f"expected {expected[i][at : at + 8]}")  # fmt: skip
    return len(wrong)


def compare(batch: Batch, tokenizer: pathlib.Path, encoding, texts: list[bytes]) -> int:
    """Compares by parts that fit into memory and returns the number of tokens."""
    tokens = 0
    part: list[bytes] = []
    size = 0
    for i, text in enumerate(texts):
        part.append(text)
        size += len(text)
        if size < 8_000_000 and i + 1 < len(texts):
            continue
        found = batch.ids(tokenizer, part)
        expected = [encoding.encode_ordinary(t.decode("utf-8", "replace")) for t in part]
        assert differences(part, found, expected) == 0
        tokens += sum(map(len, found))
        part, size = [], 0
    return tokens


# ---- text ----------------------------------------------------------------------------------------


def catalogue_text(path: pathlib.Path) -> str:
    """The translations of a message catalogue."""
    with path.open("rb") as file:
        messages = gettext.GNUTranslations(file)._catalog.values()
    return "\n".join(message for message in messages if isinstance(message, str))


def manual_text(path: pathlib.Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def language_of(path: pathlib.Path) -> str:
    """The folder that names the language in .../locale/LL/... and .../man/LL/..."""
    parts = path.parts
    for folder in ("locale", "man"):
        if folder in parts[:-1]:
            return parts[parts.index(folder) + 1]
    return "?"


def machine_documents(rng: random.Random):
    """Documents of the machine, the languages taking turns."""
    by_language: dict[str, list[pathlib.Path]] = {}
    for folder in map(pathlib.Path, TEXT_FOLDERS):
        for pattern in ("locale/*/LC_MESSAGES/*.mo", "man/*/man*/*.gz"):
            for path in sorted(folder.glob(pattern)):
                by_language.setdefault(language_of(path), []).append(path)
    for paths in by_language.values():
        rng.shuffle(paths)
    while by_language:
        for language in sorted(by_language):
            path = by_language[language].pop()
            if not by_language[language]:
                del by_language[language]
            try:
                text = catalogue_text(path) if path.suffix == ".mo" else manual_text(path)
            except (OSError, LookupError, ValueError):
                continue  # another character set, or no such file after all
            yield language, text


def scripts() -> dict[str, list[str]]:
    """Letters, marks and digits by the first word of their name, which is mostly the script."""
    found: dict[str, list[str]] = {}
    for code in range(0x20000):
        if unicodedata.category(chr(code))[0] in "LMN":
            found.setdefault(unicodedata.name(chr(code), "?").split()[0], []).append(chr(code))
    return {script: letters for script, letters in found.items() if len(letters) >= 10}


def made_up_documents(rng: random.Random):
    """Sentences of random words, each document in one script with some of another."""
    by_script = scripts()
    names = sorted(by_script)
    while True:
        for name in names:
            pools = [by_script[name]] * 9 + [by_script[rng.choice(names)]]
            words = ("".join(rng.choices(rng.choice(pools), k=rng.randint(1, 9)))
                     for _ in range(2000))  # fmt: skip
            joined = "".join(word + rng.choice("      ,.;:!?-/'\n\t") for word in words)
            yield "made up", re.sub(r"([,.;:!?])", r"\1 ", joined)


def every_character() -> list[bytes]:
    """Each code point between those that the rules tell apart; of the empty planes every 64th."""
    codes = [c for c in range(0x110000)
             if not 0xD800 <= c <= 0xDFFF and c != 0 and (c < 0x40000 or 0xE0000 <= c < 0xE0200
                                                          or c % 64 == 0)]  # fmt: skip
    rows = [f"a{chr(c)}b {chr(c)}{chr(c)}X{chr(c)}'s 1{chr(c)}\n{chr(c)} ! {chr(c)}.\n"
            for c in codes]  # fmt: skip
    return ["".join(rows[i : i + 1000]).encode() for i in range(0, len(rows), 1000)]


@pytest.fixture(scope="session")
def corpus() -> tuple[list[bytes], str]:
    """At least TEXT_BYTES of text, and where it is from."""
    rng = random.Random(SEED)
    texts: list[bytes] = []
    sizes: dict[str, int] = {}
    for documents in (machine_documents(rng), made_up_documents(rng)):
        for language, text in documents:
            if sum(sizes.values()) >= TEXT_BYTES:
                break
            data = text[:MAX_DOCUMENT].encode().replace(b"\0", b"")
            texts.append(data)
            sizes[language] = sizes.get(language, 0) + len(data)
    made_up = sizes.pop("made up", 0)
    origin = f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} languages of this machine"
    return texts, f"{origin}, {made_up / 1e6:.1f} MB made up"


# ---- tests ---------------------------------------------------------------------------------------


def test_random_strings(batch, tokenizer_file, encoding, capsys):
    """NUL ends a text in a batch; the unit test's golden strings have it inside."""
    texts = [t.replace(b"\0", b"") for t in random_text.random_strings(SEED, STRINGS)]
    tokens = compare(batch, tokenizer_file, encoding, texts)
    with capsys.disabled():
        print(f"\n{tokenizer_file.name}: {STRINGS} random strings, {tokens} tokens, 0 differences")


def test_text(batch, tokenizer_file, encoding, corpus, capsys):
    texts, origin = corpus
    begin = time.monotonic()
    tokens = compare(batch, tokenizer_file, encoding, texts)
    with capsys.disabled():
        print(f"\n{tokenizer_file.name}: {origin}: {tokens} tokens, 0 differences, "
              f"{time.monotonic() - begin:.0f} s")  # fmt: skip


def test_every_character(batch, tokenizer_file, encoding, capsys):
    if tokenizer_file.suffix == ".json":
        pytest.skip("the pre-tokenizer is the same")
    texts = every_character()
    tokens = compare(batch, tokenizer_file, encoding, texts)
    with capsys.disabled():
        print(f"\nevery character: {sum(map(len, texts)) / 1e6:.1f} MB, {tokens} tokens, "
              "0 differences")  # fmt: skip


def test_special_tokens(batch, tokenizer_file, encoding):
    """As tokens when asked for, as text otherwise."""
    rng = random.Random(SEED)
    parts = [*o200k.SPECIALS, "<|", "<|start", "|>", "<|reserved_200018|>", " hello", "\n"]
    texts = ["".join(rng.choices(parts, k=rng.randint(1, 12))).encode() for _ in range(2000)]
    plain = [encoding.encode_ordinary(t.decode()) for t in texts]
    special = [encoding.encode(t.decode(), allowed_special="all") for t in texts]
    assert differences(texts, batch.ids(tokenizer_file, texts), plain) == 0
    assert differences(texts, batch.ids(tokenizer_file, texts, "--parse-special"), special) == 0


def test_runs(batch, tokenizer_file, encoding):
    """Repetitions, where merges of equal rank overlap."""
    rng = random.Random(SEED)
    units = ["a", "A", " ", "\n", "=", "-", ".", "0", "ab", "aba", "\u4e00", "\xe9", "ha", "\t "]
    texts = [(rng.choice(units) * rng.randint(1, 700) + rng.choice(units)).encode()
             for _ in range(1500)]  # fmt: skip
    compare(batch, tokenizer_file, encoding, texts)


def test_harmony(batch, tokenizer_file, tmp_path, monkeypatch):
    """openai-harmony's own encoder over the same ranks."""
    import openai_harmony

    (tmp_path / "o200k_base.tiktoken").write_bytes(o200k.read_ranks_file())
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", str(tmp_path))
    harmony = openai_harmony.load_harmony_encoding("HarmonyGptOss")
    texts = [t.replace(b"\0", b"") for t in random_text.random_strings(SEED + 1, 5000, broken=0)]
    expected = [harmony.encode(t.decode(), disallowed_special=()) for t in texts]
    assert differences(texts, batch.ids(tokenizer_file, texts), expected) == 0


def test_shipped_model(batch, capsys):
    """The tokenizer in models/ on prose and on random strings."""
    path = ROOT / "models" / "austen" / "tokenizer.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    import tokenizers

    reference = tokenizers.Tokenizer.from_file(str(path))
    prose = (ROOT / "tests/golden/austen/heldout.txt").read_bytes().split(b"\n\n")
    texts = prose + [t.replace(b"\0", b"") for t in random_text.random_strings(SEED, 5000)]
    for options in ((), ("--parse-special",)):
        reference.encode_special_tokens = not options
        expected = [reference.encode(t.decode("utf-8", "replace"), add_special_tokens=False).ids
                    for t in texts]  # fmt: skip
        assert differences(texts, batch.ids(path, texts, *options), expected) == 0
    with capsys.disabled():
        print(f"\nmodels/austen: {len(texts)} texts, 0 differences")
