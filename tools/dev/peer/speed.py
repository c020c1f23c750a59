"""Both engines in turn on the same weights, and how they compare."""

import dataclasses
import statistics

from checkpoint import Checkpoint
from programs import REPACK, Program, precision_flags


@dataclasses.dataclass
class Plan:
    """What is measured. Each round runs every precision of ours, then the peer."""

    prompt: int
    generate: int
    threads: list[int]
    rounds: int
    precisions: list[str]
    ours_flags: list[str]
    peer_flags: list[str]


@dataclasses.dataclass
class Sample:
    """One test of one run."""

    engine: str
    threads: int
    test: str
    rate: float  # tokens a second
    bandwidth: float | None = None  # bytes a second that the machine read beside it


def test_name(row: dict) -> str:
    return f"pp{row['n_prompt']}" if row["n_prompt"] else f"tg{row['n_gen']}"


def read_bandwidth(row: dict) -> float | None:
    """The mean of what gptoss bench measured before and after the test."""
    seen = [row[key] for key in ("read_before", "read_after") if row.get(key)]
    return statistics.mean(seen) if seen else None


def run_ours(gptoss: Program, model, plan: Plan, threads: int, precision: str) -> list[Sample]:
    rows = gptoss.run_json(
        "bench", "-m", model, "-p", plan.prompt, "-n", plan.generate, "-r", 1, "-t", threads,
        "-o", "json", *precision_flags(gptoss, "bench", precision), *plan.ours_flags,
    )  # fmt: skip
    return [
        Sample(precision, threads, test_name(row), row["avg_ts"], read_bandwidth(row))
        for row in rows
    ]


def run_peer(bench: Program, gguf, plan: Plan, threads: int) -> list[Sample]:
    repack = [REPACK, 1] if bench.knows(REPACK) else []
    rows = bench.run_json(
        "-m", gguf, "-p", plan.prompt, "-n", plan.generate, "-r", 1, "-t", threads,
        "-o", "json", *repack, *plan.peer_flags,
    )  # fmt: skip
    return [Sample("peer", threads, test_name(row), row["avg_ts"]) for row in rows]


def measure(checkpoint: Checkpoint, gguf, gptoss, bench, plan: Plan, say) -> list[list[Sample]]:
    """The samples of each round. The peer's copy of the weights may have thrown ours out of the
    page cache, so they are read again before their turn."""
    rounds = []
    for number in range(plan.rounds):
        samples = []
        for threads in plan.threads:
            checkpoint.warm()
            for precision in plan.precisions:
                samples += run_ours(gptoss, checkpoint.directory, plan, threads, precision)
            samples += run_peer(bench, gguf, plan, threads)
        rounds.append(samples)
        say(f"round {number + 1} of {plan.rounds}: " + ", ".join(
            f"{s.engine} {s.test} t{s.threads} {s.rate:.2f}" for s in samples))  # fmt: skip
    return rounds


@dataclasses.dataclass
class Ratio:
    """Ours against the peer over all rounds: medians, and the spread of the rounds' ratios."""

    test: str
    threads: int
    precision: str
    ours: float
    peer: float
    ratio: float  # median of the rounds' own ratios
    least: float
    most: float
    bandwidth: float | None


def summarise(rounds: list[list[Sample]]) -> list[Ratio]:
    def of(samples, engine, key):
        return next(s for s in samples if s.engine == engine and (s.test, s.threads) == key)

    ratios = []
    for first in rounds[0]:
        if first.engine == "peer":
            continue
        key = (first.test, first.threads)
        ours = [of(samples, first.engine, key) for samples in rounds]
        theirs = [of(samples, "peer", key) for samples in rounds]
        each = [a.rate / b.rate for a, b in zip(ours, theirs)]
        seen = [s.bandwidth for s in ours if s.bandwidth]
        ratios.append(Ratio(
            *key, first.engine, statistics.median(s.rate for s in ours),
            statistics.median(s.rate for s in theirs), statistics.median(each), min(each),
            max(each), statistics.median(seen) if seen else None,
        ))  # fmt: skip
    return sorted(ratios, key=lambda r: (r.test, r.threads))


def table(ratios: list[Ratio], rounds: int) -> str:
    lines = [
        f"Tokens a second, medians of {rounds} rounds",
        "",
        "| test | threads | precision | gptoss | peer | ratio | of the rounds | GB/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in ratios:
        probe = f"{r.bandwidth / 1e9:.1f}" if r.bandwidth else "-"
        lines.append(
            f"| {r.test} | {r.threads} | {r.precision} | {r.ours:.2f} | {r.peer:.2f} "
            f"| {r.ratio:.3f} | {r.least:.3f} .. {r.most:.3f} | {probe} |"
        )
    return "\n".join(lines)
