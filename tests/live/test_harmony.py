"""Conversations and token streams against openai-harmony, and against the hub's chat template.

The seed is fixed; GPTOSS_LIVE_SEED draws others, GPTOSS_LIVE_CONVERSATIONS and GPTOSS_LIVE_STREAMS
set how many (of streams, five times as many are corrupted). With GPTOSS_HARMONY_SOURCE, a checkout
of openai/harmony 0.0.8, every conversation of its own tests is compared too.
"""

import importlib.util
import json
import os
import pathlib
import random
import subprocess
from collections import Counter

import o200k
import openai_harmony
import pytest
import random_harmony

SEED = int(os.environ.get("GPTOSS_LIVE_SEED", 1))
CONVERSATIONS = int(os.environ.get("GPTOSS_LIVE_CONVERSATIONS", 2000))
STREAMS = int(os.environ.get("GPTOSS_LIVE_STREAMS", 2000))
SOURCE = os.environ.get("GPTOSS_HARMONY_SOURCE")
SPECIAL = {name: o200k.SPECIALS[name] for name in (
    "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>",
    "<|return|>")}  # fmt: skip
LARGEST = 201087  # the largest id that the model has
ENDOFPROMPT = 200018  # has another name there than in the hub's tokenizer


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("harmony") / "o200k_base.tiktoken"
    path.write_bytes(o200k.read_ranks_file())
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(path.parent)
    return path


@pytest.fixture(scope="module")
def harmony(ranks):
    return openai_harmony.load_harmony_encoding("HarmonyGptOss")._inner


class Ours:
    def __init__(self, program, ranks: pathlib.Path):
        self.program = program.gptoss
        self.ranks = ranks

    def run(self, command: str, texts: list[str], *options: str) -> list:
        """A line of JSON for each text; {"error": SENTENCE} for what was refused."""
        source = ("-f", "-") if command == "render" else ("--ids", "-")
        done = subprocess.run(
            [self.program, command, "--tokenizer", self.ranks, "--null", *source, *options],
            input="".join(text + "\0" for text in texts).encode(), capture_output=True)  # fmt: skip
        assert done.returncode in (0, 1) and not done.stderr, done.stderr.decode()
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == len(texts)
        return lines

    def parse(self, streams: list[list[int]], *options: str) -> list:
        made = self.run("parse", [json.dumps(ids) for ids in streams], *options)
        return [line.get("messages") for line in made]


@pytest.fixture(scope="module")
def ours(program, ranks) -> Ours:
    return Ours(program, ranks)


def show(what: str, found, expected, source: str) -> None:
    print(f"{what}: {source[:2000]}\n  found    {str(found)[:1000]}\n  expected {str(expected)[:1000]}")


# ---- rendering -----------------------------------------------------------------------------------


def render_theirs(harmony, conversation: str, history: str, ending: str, role: str):
    config = {"auto_drop_analysis": history == "harmony"}
    try:
        if ending == "completion":
            return harmony.render_conversation_for_completion(conversation, role, config)
        if ending == "training":
            return harmony.render_conversation_for_training(conversation, config)
        return harmony.render_conversation(conversation, config)
    except Exception as error:  # its own class, RuntimeError or ValueError
        return str(error)


def compare_rendering(harmony, ours, conversations: list[str], options: tuple) -> tuple[int, int]:
    """How many differ, and how many both refuse."""
    flags = [x for pair in zip(("--history", "--ending", "--role"), options) for x in pair]
    wrong = refused = 0
    for source, found in zip(conversations, ours.run("render", conversations, *flags)):
        expected = render_theirs(harmony, source, *options)
        same = isinstance(expected, str) if isinstance(found, dict) else found == expected
        refused += same and isinstance(found, dict)
        if not same:
            wrong += 1
            if wrong <= 3:
                if isinstance(found, list) and isinstance(expected, list):
                    found, expected = harmony.decode_utf8(found), harmony.decode_utf8(expected)
                show("conversation", found, expected, source)
    return wrong, refused


@pytest.mark.parametrize("history", ["harmony", "all"])
@pytest.mark.parametrize("ending, role", [("completion", "assistant"), ("none", "assistant"),
                                          ("training", "assistant"), ("completion", "tool")])
def test_random_conversations(harmony, ours, history, ending, role, tell):
    rng = random.Random(f"{SEED} conversations {history} {ending} {role}")
    count = CONVERSATIONS if (history, ending, role) == ("harmony", "completion", "assistant") \
        else CONVERSATIONS // 4
    made = [json.dumps(random_harmony.conversation(rng)) for _ in range(count)]
    wrong, refused = compare_rendering(harmony, ours, made, (history, ending, role))
    assert wrong == 0
    tell(f"harmony: {count} conversations ({history}, {ending}, {role}), {refused} refused by both, "
         "0 differences")  # fmt: skip


# ---- parsing -------------------------------------------------------------------------------------


def our_names(text: str) -> str:
    return text.replace(f"<|reserved_{ENDOFPROMPT}|>", "<|endofprompt|>")


def parse_theirs(harmony, ids: list[int], role: str):
    try:
        made = harmony.parse_messages_from_completion_tokens(ids, role if role != "none" else None, True)
        return json.loads(our_names(made))
    except Exception:
        return None


def test_other_name(harmony, ours):
    """The one token whose name differs, which the comparisons below take as the same."""
    ids = [SPECIAL["<|message|>"], *harmony.encode("a", None), ENDOFPROMPT, SPECIAL["<|end|>"]]
    theirs = json.loads(harmony.parse_messages_from_completion_tokens(ids, "assistant", True))
    assert theirs[0]["content"] == f"a<|reserved_{ENDOFPROMPT}|>"
    assert ours.parse([ids], "--strict")[0][0]["content"] == "a<|endofprompt|>"


def random_streams(harmony, role: str, count: int, broken: bool) -> list[list[int]]:
    rng = random.Random(f"{SEED} streams {role} {broken}")
    made = []
    for _ in range(count):
        ids = random_harmony.stream(rng, lambda t: harmony.encode(t, None), SPECIAL,
                                    "" if role == "none" else role)  # fmt: skip
        made.append(random_harmony.corrupted(rng, ids, SPECIAL, LARGEST) if broken else ids)
    return made


@pytest.mark.parametrize("role", ["assistant", "none", "tool"])
@pytest.mark.parametrize("broken", [False, True])
def test_strict_parser(harmony, ours, role, broken, tell):
    """The same streams are refused, and the same messages made of the others."""
    count = STREAMS * (5 if broken else 1) // (1 if role == "assistant" else 4)
    streams = random_streams(harmony, role, count, broken)
    refused = wrong = 0
    for ids, found in zip(streams, ours.parse(streams, "--strict", "--role", role)):
        expected = parse_theirs(harmony, ids, role)
        refused += expected is None
        if found != expected:
            wrong += 1
            if wrong <= 3:
                show("stream", found, expected, repr(harmony.decode_bytes(ids)))
    assert wrong == 0
    tell(f"harmony: {count} {'corrupted' if broken else 'random'} streams after {role}, "
         f"{refused} refused by both, 0 differences")  # fmt: skip


# ---- the forgiving parser ------------------------------------------------------------------------

SHAPING = {SPECIAL[name] for name in SPECIAL if name != "<|constrain|>"}


def spoken(harmony, ids: list[int], in_header: bool) -> tuple[list[str], list[str]]:
    """What the model said, as text between the control tokens that shape messages: in what must be
    content, and in what may be header."""
    content, headers, part = [], [], []

    def flush():
        said = our_names(harmony.decode_bytes(part).decode("utf-8", "replace"))
        (headers if in_header else content).append(said)
        part.clear()

    for token in ids:
        if token not in SHAPING:
            part.append(token)
        elif token == SPECIAL["<|message|>"] and not in_header:
            pass  # doubled: the content goes on
        else:
            flush()
            in_header = token != SPECIAL["<|message|>"]
    flush()
    return content, headers


def lost(harmony, ids: list[int], messages: list[dict]) -> str | None:
    """Something that was said and is in no message, or None. All contents in order hold all that
    was said as content; the characters of headers are in the fields, or in the contents besides."""
    content, headers = spoken(harmony, ids, True)
    at = 0
    whole = "".join(m["content"] for m in messages)
    for part in content:
        found = whole.find(part, at)
        if found < 0:
            return f"content {part!r}"
        at = found + len(part)
    fields = [m.get(key, "") for m in messages
              for key in ("name", "recipient", "channel", "content_type")]  # fmt: skip
    fields += [m["role"] + ("to=" if "recipient" in m else "") + (":" if "name" in m else "")
               for m in messages]  # fmt: skip
    said = Counter("".join("".join(content + headers).split()))
    missing = said - Counter("".join("".join([whole, *fields]).split()))
    return f"characters {dict(missing)}" if missing else None


@pytest.mark.parametrize("role", ["assistant", "none", "tool"])
@pytest.mark.parametrize("broken", [False, True])
def test_forgiving_parser(harmony, ours, role, broken, tell):
    """It refuses nothing and loses nothing, and of streams that the strict one takes, in which no
    control token stands where it cannot be meant, it makes the same."""
    count = STREAMS * (5 if broken else 1) // (1 if role == "assistant" else 4)
    streams = random_streams(harmony, role, count, broken)
    strict = ours.parse(streams, "--strict", "--role", role)
    size = 0
    for ids, found, exact in zip(streams, ours.parse(streams, "--role", role), strict):
        assert found is not None
        missing = lost(harmony, ids, found)
        assert missing is None, f"{missing} of {harmony.decode_bytes(ids)!r}, found {found}"
        size += sum(len(m["content"].encode()) for m in found)
        if exact is not None and not broken:
            assert found == exact, repr(harmony.decode_bytes(ids))
    tell(f"harmony: {count} {'corrupted' if broken else 'random'} streams after {role}, forgiving: "
         f"{size} bytes of content, 0 lost")  # fmt: skip


# ---- openai-harmony's own tests ------------------------------------------------------------------


class Recorder:
    """Notes what its tests render and parse."""

    def __init__(self, inner):
        self.inner = inner
        self.rendered = []
        self.parsed = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def render_conversation_for_completion(self, conversation_json, next_turn_role, config=None):
        self.rendered.append((conversation_json, ("completion", next_turn_role), config))
        return self.inner.render_conversation_for_completion(conversation_json, next_turn_role, config)

    def render_conversation(self, conversation_json, config=None):
        self.rendered.append((conversation_json, ("none", "assistant"), config))
        return self.inner.render_conversation(conversation_json, config)

    def render_conversation_for_training(self, conversation_json, config=None):
        self.rendered.append((conversation_json, ("training", "assistant"), config))
        return self.inner.render_conversation_for_training(conversation_json, config)

    def parse_messages_from_completion_tokens(self, tokens, role, strict=True):
        self.parsed.append((list(tokens), role or "none"))
        return self.inner.parse_messages_from_completion_tokens(tokens, role, strict)

    def parser(self, base):
        """A class of streaming parsers that notes what each is fed."""
        recorder = self

        class Parser(base):
            def __init__(self, encoding, role, strict=True):
                super().__init__(openai_harmony.HarmonyEncoding(recorder.inner), role, strict=strict)
                self.fed = []
                recorder.parsed.append((self.fed, role.value if role else "none"))

            def process(self, token):
                self.fed.append(token)
                return super().process(token)

        return Parser


def run_their_tests(recorder: Recorder) -> int:
    """Their module's tests with all their parameters; returns how many passed."""
    file = pathlib.Path(SOURCE) / "tests" / "test_harmony.py"
    spec = importlib.util.spec_from_file_location("their_tests", file)
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    theirs.load_harmony_encoding = lambda name: openai_harmony.HarmonyEncoding(recorder)
    theirs.StreamableParser = recorder.parser(openai_harmony.StreamableParser)
    passed = 0
    for name, test in list(vars(theirs).items()):
        if not name.startswith("test_"):
            continue
        marks = [m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"]
        for values in marks[0].args[1] if marks else [()]:
            test(*(values if isinstance(values, tuple) else (values,)))
            passed += 1
    return passed


@pytest.mark.skipif(not SOURCE, reason="GPTOSS_HARMONY_SOURCE names no checkout of openai/harmony")
def test_their_own_tests(harmony, ours, tell):
    """Runs its tests with a recorder in place of the encoding, then compares what was recorded."""
    recorder = Recorder(harmony)
    passed = run_their_tests(recorder)
    wrong = 0
    for conversation, (ending, role), config in recorder.rendered:
        history = "harmony" if config and config.get("auto_drop_analysis", True) else "all"
        wrong += compare_rendering(harmony, ours, [conversation], (history, ending, role))[0]
    for tokens, role in recorder.parsed:
        found = ours.parse([tokens], "--strict", "--role", role)[0]
        expected = parse_theirs(harmony, tokens, role)
        if found != expected:
            wrong += 1
            show("stream", found, expected, str(tokens))
    assert wrong == 0 and recorder.rendered and recorder.parsed
    tell(f"harmony: {passed} of its own tests, {len(recorder.rendered)} renderings and "
         f"{len(recorder.parsed)} streams in them, 0 differences")  # fmt: skip
