"""Both engines in turn on the same weights, and how they compare."""

import dataclasses
import statistics

from checkpoint import Checkpoint
from programs import REPACK, Program, precision_flags

PROBE = "20b,layers=1,vocab=1024,experts=4"  # small enough to be run for the bandwidth beside it


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
    return mean_of(row.get("read_before"), row.get("read_after"))


def mean_of(*values: float | None) -> float | None:
    seen = [value for value in values if value]
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


def probe(gptoss: Program, threads: int) -> float | None:
    rows = gptoss.run_json("bench", "--synthetic", PROBE, "-p", 0, "-n", 1, "-r", 1, "-t", threads,
                           "-o", "json")  # fmt: skip
    return read_bandwidth(rows[0])


def run_peer(bench: Program, gptoss: Program, gguf, plan: Plan, threads: int) -> list[Sample]:
    """Between two probes, as llama-bench has none of its own."""
    before = probe(gptoss, threads)
    repack = [REPACK, 1] if bench.knows(REPACK) else []
    rows = bench.run_json(
        "-m", gguf, "-p", plan.prompt, "-n", plan.generate, "-r", 1, "-t", threads,
        "-o", "json", *repack, *plan.peer_flags,
    )  # fmt: skip
    bandwidth = mean_of(before, probe(gptoss, threads))
    return [Sample("peer", threads, test_name(row), row["avg_ts"], bandwidth) for row in rows]


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
            samples += run_peer(bench, gptoss, gguf, plan, threads)
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
    bandwidth: float | None  # medians beside ours and beside the peer
    peer_bandwidth: float | None


def median_bandwidth(samples: list[Sample]) -> float | None:
    seen = [s.bandwidth for s in samples if s.bandwidth]
    return statistics.median(seen) if seen else None


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
        ratios.append(Ratio(
            *key, first.engine, statistics.median(s.rate for s in ours),
            statistics.median(s.rate for s in theirs), statistics.median(each), min(each),
            max(each), median_bandwidth(ours), median_bandwidth(theirs),
        ))  # fmt: skip
    return sorted(ratios, key=lambda r: (r.test, r.threads))


def table(ratios: list[Ratio], rounds: int) -> str:
    lines = [
        f"Tokens a second, medians of {rounds} rounds",
        "",
        "| test | threads | precision | gptoss | peer | ratio | in rounds | GB/s | beside peer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in ratios:
        read = [f"{b / 1e9:.1f}" if b else "-" for b in (r.bandwidth, r.peer_bandwidth)]
        lines.append(
            f"| {r.test} | {r.threads} | {r.precision} | {r.ours:.2f} | {r.peer:.2f} "
            f"| {r.ratio:.3f} | {r.least:.3f} .. {r.most:.3f} | {' | '.join(read)} |"
        )
    return "\n".join(lines)
