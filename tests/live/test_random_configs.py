"""Random small architectures in every layout against transformers and OpenAI's torch model.

Half of the trick is in the draw: query heads per kv head unlike the number of kv heads, windows
much shorter than the prompt, odd vocabularies, one expert or all of them, plain and scaled rotary
embeddings. The seed is fixed; GPTOSS_LIVE_SEED draws others and GPTOSS_LIVE_CONFIGS more.
"""

import json
import math
import os
import random

import numpy as np
import pytest
import torch

import oracles

SEED = int(os.environ.get("GPTOSS_LIVE_SEED", 1))
COMMON = int(os.environ.get("GPTOSS_LIVE_CONFIGS", 30))  # in all three layouts
HF_ONLY = COMMON // 3  # with what OpenAI's config.json has no key for
ODD = COMMON // 3  # unquantised, of sizes that fill no vector and no MXFP4 group
NMSE_LIMIT = 1e-10
GREEDY = 64
CHUNKS = [("--chunk", 7, "-t", 1), ("--chunk", 1, "-t", 3)]  # against one chunk on two threads

torch.set_num_threads(1)  # the matrices are tiny


def draw_rope(rng: random.Random, head_dim: int) -> dict:
    """YaRN whose bounds OpenAI's code accepts: 0 < low < high < head_dim / 2 - 1. Or none."""
    rope = {"theta": rng.choice([500.0, 10000.0, 150000.0]), "original": 256, "factor": 1.0}
    for _ in range(1000):
        trial = rope | {
            "factor": rng.choice([1.5, 4.0, 8.0, 32.0]),
            "original": rng.choice([64, 128, 500, 4096]),
            "beta-fast": rng.choice([2.0, 4.5, 8.0, 32.0]),
            "beta-slow": rng.choice([0.5, 1.0, 1.5]),
        }

        def bound(turns: float) -> float:
            log = math.log(trial["original"] / (turns * 2 * math.pi))
            return head_dim / 2 * log / math.log(trial["theta"])

        low, high = bound(trial["beta-fast"]), bound(trial["beta-slow"])
        if trial["original"] * trial["factor"] >= 256 and 0 < low < high < head_dim / 2 - 1:
            return rope if rng.random() < 0.2 else trial
    return rope


def draw(rng: random.Random) -> dict:
    """Options of make-checkpoint for an architecture that every layout can express."""
    kv_heads = rng.randint(1, 4)
    head_dim = rng.choice([8, 12, 16, 32, 64])
    experts = rng.randint(1, 9)
    options = {
        "layers": rng.randint(1, 4),
        "hidden": 32 * rng.randint(1, 5),
        "intermediate": 32 * rng.randint(1, 4),
        "vocab": rng.randint(65, 600),
        "heads": kv_heads * rng.randint(1, 5),
        "kv-heads": kv_heads,
        "head-dim": head_dim,
        "experts": experts,
        "top-k": rng.randint(1, min(experts, 5)),
        "window": rng.choice([1, 2, 3, 5, 8, 11, 16, 32, 33, 40]),
        "swiglu-limit": rng.choice([0.7, 2.5, 7.0, 7.0]),
        "seed": rng.randint(1, 10**9),
    }
    return options | {f"rope-{key}": value for key, value in draw_rope(rng, head_dim).items()}


def draw_hf(rng: random.Random) -> dict:
    """The same with what only transformers' config.json can say."""
    options = draw(rng) | {
        "layers": rng.randint(2, 5),
        "layer-types": rng.choice(["f", "s", "fs", "ffs", "sffs"]),
        "swiglu-alpha": rng.choice([1.0, 1.702]),
        "eps": rng.choice([1e-6, 1e-5, 1e-3]),
    }
    for flag in ["rope-truncate", "tied", "no-attention-bias"]:
        options |= {flag: True} if rng.random() < 0.4 else {}
    return options


def draw_odd(rng: random.Random) -> dict:
    """Extreme sizes that MXFP4 cannot have. (In a residual of width 1 the norm is a sign function, and
    amplifies the rounding of what lies near zero.)"""
    experts = rng.choice([1, 2, 17, 33])
    return draw_hf(rng) | {
        "hidden": rng.choice([5, 7, 31, 33, 40, 95, 250, 288]),
        "intermediate": rng.choice([1, 5, 31, 33, 90, 100]),
        "head-dim": rng.choice([2, 4, 6, 22, 128, 256]),
        "vocab": rng.choice([2, 3, 17, 1000]),
        "experts": experts,
        "top-k": rng.randint(1, experts),
        "window": rng.choice([1, 2, 30, 1000]),
        "context": 4096,
    }


def arguments(options: dict) -> list[str]:
    pairs = ([f"--{k}"] if v is True else [f"--{k}", str(v)] for k, v in options.items())
    return [text for pair in pairs for text in pair]


def respell(config: dict, rng: random.Random) -> dict:
    """Another spelling of the same config.json: those that files in the wild have."""
    if rng.random() < 0.5:  # as transformers 5 saves it
        rope = config.pop("rope_scaling") | {"rope_theta": config.pop("rope_theta")}
        config["rope_parameters"] = rope
        config["dtype"] = config.pop("torch_dtype")
    rope = config.get("rope_parameters") or config["rope_scaling"]
    if rope["rope_type"] == "yarn":
        if rope["truncate"] and rng.random() < 0.5:
            del rope["truncate"]  # missing means true
        if rng.random() < 0.3:
            rope["attention_factor"] = 1.25
    if config["head_dim"] == 64:
        del config["head_dim"]  # missing means 64
    if config["swiglu_alpha"] == 1.702 and rng.random() < 0.5:
        del config["swiglu_alpha"]
    return config


class Case:
    """One architecture: its checkpoints, prompt and our results."""

    def __init__(self, number: int, directory, program):
        self.rng = random.Random(f"{SEED}/{number}")
        if number < COMMON:
            self.options, self.layouts = draw(self.rng), ["original", "hf-mxfp4", "hf"]
        elif number < COMMON + HF_ONLY:
            self.options, self.layouts = draw_hf(self.rng), ["hf-mxfp4", "hf"]
        else:
            self.options, self.layouts = draw_odd(self.rng), ["hf"]
        self.directory = directory
        self.program = program
        length = 2 * min(self.options["window"], 40) + self.rng.randint(1, 40)
        length += self.rng.choice([0, 0, 60])
        self.ids = [self.rng.randrange(self.options["vocab"]) for _ in range(length)]
        for layout in self.layouts:
            self.make(layout)
        if number >= COMMON:
            self.respell()

    def make(self, layout: str) -> None:
        options = ["--shards", self.rng.randint(1, 3)]
        if layout == "hf":
            options += ["--dtype", self.rng.choice(["bf16", "f16", "f32"])]
        if layout == "original":
            options += ["--no-index"] if self.rng.random() < 0.5 else []
        options += ["--unaligned"] if self.rng.random() < 0.3 else []
        path = self.directory / layout
        self.program.make(path, layout, *arguments(self.options), *options)

    def respell(self) -> None:
        state = self.rng.getstate()
        for layout in self.layouts:
            self.rng.setstate(state)
            path = self.directory / layout / "config.json"
            path.write_text(json.dumps(respell(json.loads(path.read_text()), self.rng)))

    def dump(self, layout: str, *options: object) -> dict:
        file = self.directory / "dump.safetensors"
        return self.program.dump(self.directory / layout, self.ids, file, *options)


def same_bits(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[key].view(np.uint32), b[key].view(np.uint32)) for key in a
    )


def compare(case: Case, oracle, ours: dict, figures) -> None:
    """Logits and hidden states, each by NMSE."""
    truth = oracle.run(case.ids)
    assert ours.keys() == truth.keys()
    for name in truth:
        error = oracles.nmse(ours[name], truth[name])
        kind = "logits" if name == "logits" else "hidden states"
        figures.note(f"NMSE of {kind}, {oracle.name}", error)
        assert error <= NMSE_LIMIT, f"{oracle.name}: {name}: NMSE {error:.2e}; {case.options}"


def compare_greedy(case: Case, oracle, made: list[int], wanted: list[int], figures) -> None:
    if made != wanted:
        place = next(i for i in range(GREEDY) if made[i] != wanted[i])
        last = np.sort(oracle.run(case.ids + wanted[:place])["logits"][-1])
        raise AssertionError(
            f"{oracle.name}: greedy token {place} is {made[place]}, not {wanted[place]}; "
            f"its two best logits are {last[-1] - last[-2]:.2e} apart; {case.options}"
        )
    figures.note(f"greedy tokens that differ, {oracle.name}", 0)


@pytest.mark.parametrize("number", range(COMMON + HF_ONLY + ODD))
def test_architecture(number, tmp_path, program, figures):
    case = Case(number, tmp_path, program)
    ours = {layout: case.dump(layout, "-t", 2) for layout in case.layouts}
    for layout in case.layouts:
        if layout != "hf":  # whose experts are plain numbers, which are multiplied in another way
            assert same_bits(ours[layout], ours["hf-mxfp4"]), f"{layout}; {case.options}"
        for options in [*CHUNKS, ("--chunk", case.rng.randint(2, 60), "-t", 2)]:
            other = case.dump(layout, *options)
            assert same_bits(other, ours[layout]), f"{layout} {options}; {case.options}"
    wanted = {}  # once per oracle: it is the same model in both of transformers' layouts
    for layout in case.layouts:
        kind = oracles.OpenAI if layout == "original" else oracles.Transformers
        oracle = kind(tmp_path / layout)
        compare(case, oracle, ours[layout], figures)
        if kind not in wanted:
            wanted[kind] = oracle.greedy(case.ids, GREEDY)
        made = program.greedy(tmp_path / layout, case.ids, GREEDY)
        compare_greedy(case, oracle, made, wanted[kind], figures)
