"""How far each engine's predictions are from float32: KL divergence on the same tokens.

The peer's perplexity tool writes what it predicts with --kl-divergence-base, native byte order:

    "_logits_"  int32 context, vocab, windows     int32 tokens [windows, context]
    for each window and each of its positions context / 2 .. context - 2:
        float32 step, float32 least     uint16 codes [vocab, and one more where vocab is odd]

A logarithmic probability is least + step * code; what is likelier than e^-16 of the likeliest keeps
16 bits of it.
"""

import dataclasses
import itertools
import pathlib
import random
from collections.abc import Callable, Iterator

import numpy as np

import convert
from checkpoint import Fault, read_header, tensor
from programs import REPACK, Program, precision_flags

MAGIC = b"_logits_"
ROW_HEADER = 4  # uint16 that hold the two float32
SMALLEST_VOCABULARY = 512

Rows = Callable[[], Iterator[np.ndarray]]  # logits or logarithmic probabilities, [vocab] each


@dataclasses.dataclass
class Plan:
    """Windows of `context` random tokens, of whose second halves predictions are compared."""

    context: int
    windows: int
    threads: int
    seed: int
    precisions: list[str]
    ours_flags: list[str]
    peer_flags: list[str]

    @property
    def first(self) -> int:
        return self.context // 2

    @property
    def rows(self) -> int:
        return self.context - 1 - self.first


def draw(plan: Plan, vocab: int) -> np.ndarray:
    """[windows, context] ids of words."""
    if vocab < SMALLEST_VOCABULARY:
        raise Fault(f"quality needs a vocabulary of {SMALLEST_VOCABULARY} or more, found {vocab}")
    generator = random.Random(plan.seed)
    count = plan.windows * plan.context
    ids = [generator.randrange(convert.BYTES, vocab) for _ in range(count)]
    return np.array(ids).reshape(plan.windows, plan.context)


def text_of(ids: np.ndarray, vocab: int) -> str:
    """Tokenized by the converted model's vocabulary it gives these ids."""
    names = convert.vocabulary(vocab)
    return "".join(" " + names[i][1:] for i in ids.reshape(-1))


class PeerLogits:
    """The peer's file, mapped."""

    def __init__(self, path: pathlib.Path, ids: np.ndarray):
        windows, context = ids.shape
        with open(path, "rb") as opened:
            magic = opened.read(len(MAGIC))
            found, self.vocab, count = np.frombuffer(opened.read(12), np.int32)
            begin = opened.tell() + 4 * windows * context
            if magic != MAGIC or (found, count) != (context, windows):
                found = f"{magic} {found} {count}"
                raise Fault(f"{path}: expected {windows} windows of {context}, found {found}")
            tokens = np.frombuffer(opened.read(4 * windows * context), np.int32)
        if not np.array_equal(tokens, ids.reshape(-1)):
            raise Fault(f"{path}: the peer read other tokens than those meant")
        width = ROW_HEADER + 2 * ((int(self.vocab) + 1) // 2)
        rows = windows * (context - 1 - context // 2)
        self._rows = np.memmap(path, np.uint16, "r", begin, (rows, width))

    def __call__(self) -> Iterator[np.ndarray]:
        for row in self._rows:
            step, least = row[:ROW_HEADER].view(np.float32)
            codes = row[ROW_HEADER : ROW_HEADER + self.vocab]
            yield float(least) + float(step) * codes.astype(np.float64)


def as_peer_stores(logits: np.ndarray) -> np.ndarray:
    """What is left of exact logits in the peer's file: tells how much of a figure is the file's."""
    most = logits.max()
    least = max(logits.min(), most - 16)
    step = (most - least) / 65535
    return least + step * np.rint((np.maximum(logits, least) - least) / step)


def run_peer(perplexity: Program, gguf, ids, vocab, plan: Plan, directory) -> PeerLogits:
    """The text is given twice over, as the tool wants at least two windows of it."""
    text, out = directory / "text", directory / "peer.logits"
    text.write_text(text_of(np.concatenate([ids, ids]), vocab))
    repack = [REPACK] if perplexity.knows(REPACK) else []
    perplexity.run(
        "-m", gguf, "-f", text, "-c", plan.context, "-b", plan.context, "--chunks", plan.windows,
        "-t", plan.threads, "--kl-divergence-base", out, *repack, *plan.peer_flags,
    )  # fmt: skip
    return PeerLogits(out, ids)


def run_ours(gptoss: Program, model, ids, plan: Plan, precision: str, directory) -> Rows:
    """From one dump a window, mapped."""
    windows = []
    flags = precision_flags(gptoss, "dump", precision)
    for number, window in enumerate(ids):
        file = directory / f"{precision}-{number}.safetensors"
        gptoss.run(
            "dump", "-m", model, "--ids", ",".join(map(str, window)), "--stages", "logits",
            "--positions", f"{plan.first}-{plan.context - 2}", "-t", plan.threads, "-o", file,
            *flags, *plan.ours_flags,
        )  # fmt: skip
        entries, base = read_header(file)
        windows.append(tensor(file, entries["logits"], base))
    return lambda: itertools.chain.from_iterable(windows)


@dataclasses.dataclass
class Divergence:
    """KL(float32 || engine) in nats over all positions."""

    name: str
    mean: float
    median: float
    worst: float
    same_best: float  # share of positions with the same likeliest token


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def compare(name: str, exact: Rows, other: Rows) -> Divergence:
    values, same = [], 0
    for a, b in zip(exact(), other(), strict=True):
        p, q = log_softmax(a), log_softmax(b)
        values.append(float((np.exp(p) * (p - q)).sum()))
        same += int(np.argmax(p) == np.argmax(q))
    return Divergence(name, float(np.mean(values)), float(np.median(values)), max(values),
                      same / len(values))  # fmt: skip


def measure(gptoss, perplexity, model, gguf, vocab, plan: Plan, directory, say) -> list[Divergence]:
    ids = draw(plan, vocab)
    say(f"quality: float32, {plan.windows} windows of {plan.context} tokens")
    exact = run_ours(gptoss, model, ids, plan, "f32", directory)
    out = []
    for precision in plan.precisions:
        if precision == "f32":
            continue
        say(f"quality: {precision}")
        ours = run_ours(gptoss, model, ids, plan, precision, directory)
        out.append(compare(f"gptoss {precision}", exact, ours))
    say("quality: the peer")
    out.append(compare("peer", exact, run_peer(perplexity, gguf, ids, vocab, plan, directory)))
    stored = lambda: map(as_peer_stores, exact())  # noqa: E731
    out.append(compare("float32 in the peer's file", exact, stored))
    return out


def table(divergences: list[Divergence], positions: int) -> str:
    lines = [
        f"KL divergence from float32 in nats, {positions} positions",
        "",
        "| engine | mean | median | worst | same likeliest token |",
        "|---|---|---|---|---|",
    ]
    for d in divergences:
        lines.append(f"| {d.name} | {d.mean:.3g} | {d.median:.3g} | {d.worst:.3g} "
                     f"| {100 * d.same_best:.1f} % |")  # fmt: skip
    return "\n".join(lines)
