"""`gptoss parity` names planted bugs by their layer and stage, and finds none where there is none.

Each bug is planted into a scratch copy of the sources, or of the weights, and run on a random
architecture and prompt against a dump of an official implementation. GPTOSS_LIVE_SEED repeats a
draw; without it every run draws anew. What failed says which seed it was.
"""

import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import dump
import oracles
import test_random_configs as configs
from conftest import ROOT

SEED = int(os.environ.get("GPTOSS_LIVE_SEED", 0)) or random.SystemRandom().randrange(1, 10**9)
CLEAN_RUNS = int(os.environ.get("GPTOSS_LIVE_CLEAN", 20))
LAYOUTS = ["original", "hf-mxfp4", "hf"]
MODES = {"chained": [], "isolated": ["--isolated"]}

torch.set_num_threads(1)  # the matrices are tiny


# ---- the sources that bugs are planted into ------------------------------------------------------


class Workshop:
    """A copy of the source tree, configured once and built again after each change."""

    def __init__(self, directory: pathlib.Path):
        self.source, self.build = directory / "source", directory / "build"
        skipped = shutil.ignore_patterns(".*", "build*", "tests", "models")
        shutil.copytree(ROOT, self.source, ignore=skipped)
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DGPTOSS_TESTS=OFF", "-DGPTOSS_SIMD=OFF"]
        self._cmake("-S", self.source, "-B", self.build, *options)
        self.make()
        self.gptoss = self.build / "tools" / "gptoss"

    def _cmake(self, *arguments: object) -> None:
        command = ["cmake", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def make(self) -> None:
        self._cmake("--build", self.build, "--target", "gptoss", "--parallel", 2)

    def plant(self, patches: list[tuple[str, str, str]]) -> dict[pathlib.Path, str]:
        """Replaces text that must stand in its file exactly once; returns what was there before."""
        before = {}
        for name, old, new in patches:
            path = self.source / name
            text = path.read_text()
            before.setdefault(path, text)
            count = text.count(old)
            assert count == 1, f"{name} has this {count} times, so the bug is not planted:\n{old}"
            path.write_text(text.replace(old, new))
        self.make()
        return before


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


# ---- the bugs ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Bug:
    """Where it must be seen first, how it is made, and what a model needs to show it."""

    stage: str
    patches: list[tuple[str, str, str]]  # file, text in it, what stands there instead
    layouts: list[str] = dataclasses.field(default_factory=lambda: LAYOUTS)
    needs: str = ""  # what `draw` takes care of


WINDOW = "position + 1 > shape->window ? position + 1 - shape->window : 0;"

BUGS = {
    "window one longer": Bug(
        "sink_mass",
        [("src/op/attention.c", WINDOW,
          "position > shape->window ? position - shape->window : 0;")],
        needs="window",
    ),
    "window one shorter": Bug(
        "sink_mass",
        [("src/op/attention.c", WINDOW,
          "position + 2 > shape->window ? position + 2 - shape->window : 0;")],
        needs="window",
    ),
    "sink scaled like a score": Bug(
        "sink_mass",
        [("src/model/weights.c",
          "    layer->sinks = bind_vector(b, WEIGHT_SINKS, c->heads);\n",
          """\
    float *sinks = b->next;
    layer->sinks = bind_vector(b, WEIGHT_SINKS, c->heads);
    for (uint32_t head = 0; head < c->heads && b->status == GPTOSS_OK; head++)
        sinks[head] /= __builtin_sqrtf((float)c->head_dim);
""")],
    ),
    "bounds of YaRN truncated": Bug(
        "q_rotary",
        [("src/model/rope.c", "if (config->rope.truncate)", "if (config->rope.yarn)")],
        needs="yarn",
    ),
    "rotary embedding of interleaved pairs": Bug(
        "q_rotary",
        [("src/kernel/body.h",
          "static void rotate(float *x, const float *cosine, const float *sine, size_t half)\n{\n",
          """\
static void rotate(float *x, const float *cosine, const float *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float even = x[2 * i];
        float odd = x[2 * i + 1];
        x[2 * i] = even * cosine[i] - odd * sine[i];
        x[2 * i + 1] = odd * cosine[i] + even * sine[i];
    }
    return;
""")],
    ),
    "query head h reads key-value head h % kv_heads": Bug(
        "sink_mass",
        [("src/op/attention.c", "return shape->heads / shape->kv_heads;",
          "return shape->heads / shape->heads;"),
         ("src/op/attention.c", "return (head_block){head / group,",
          "return (head_block){head % shape->kv_heads,")],
    ),
    "softmax before the choice of experts": Bug(
        "routing_weights",
        [("src/op/experts.c",
          """\
        weigh_experts(logits + row * route->experts, route->expert + row * route->top, route->top,
                      route->weight + row * route->top);
""",
          """\
    {
        const float *all = logits + row * route->experts;
        float sum = 0.0F;
        for (size_t e = 0; e < route->experts; e++)
            sum += __builtin_expf(all[e]);
        for (size_t s = row * route->top; s < (row + 1) * route->top; s++)
            route->weight[s] = __builtin_expf(all[route->expert[s]]) / sum;
    }
""")],
    ),
    "gate and up swapped": Bug(
        "activated",
        [("src/kernel/body.h", "vec_load_pairs(h, &gate, &up);", "vec_load_pairs(h, &up, &gate);")],
    ),
    "down projection transposed": Bug(
        "expert_out",
        [("src/model/weights.c",
          "        layer->down = bind_transposed(b, WEIGHT_DOWN, c->hidden, c->intermediate);\n",
          """\
        layer->down = bind_transposed(b, WEIGHT_DOWN, c->hidden, c->intermediate);
        layer->down.first.transposed = false;
""")],
        layouts=["hf"],
        needs="square",
    ),
    "bias of an expert outside its routing weight": Bug(
        "expert_out",
        [("src/model/layer.c", "layer->down_bias_format, layer->down_bias,",
          "layer->down_bias_format, NULL,"),
         ("src/model/layer.c",
          "    pass_settle(p, GPTOSS_STAGE_COMBINED, w->block_out, c->hidden);\n",
          """\
    for (size_t a = 0; a < p->rows * c->experts_per_token && p->self->rank == 0; a++)
        for (size_t i = 0; i < c->hidden; i++) {
            float bias;
            numbers_decode(layer->down_bias_format, layer->down_bias,
                           w->route.expert[a] * (size_t)c->hidden + i, 1, &bias);
            w->block_out[a / c->experts_per_token * c->hidden + i] += bias;
        }
    team_wait(p->self);
    pass_settle(p, GPTOSS_STAGE_COMBINED, w->block_out, c->hidden);
""")],
    ),
}  # fmt: skip


# ---- random cases --------------------------------------------------------------------------------


def frequencies(options: dict, truncate: bool) -> np.ndarray:
    """Inverse frequencies of YaRN, in double precision."""
    dim, theta, factor = options["head-dim"], options["rope-theta"], options["rope-factor"]

    def pair(turns: float) -> float:
        return dim * np.log(options["rope-original"] / (turns * 2 * np.pi)) / (2 * np.log(theta))

    low, high = pair(options["rope-beta-fast"]), pair(options["rope-beta-slow"])
    if truncate:
        low, high = np.floor(low), np.ceil(high)
    plain = theta ** (-np.arange(0, dim, 2) / dim)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)
    return plain * (1 - ramp) + plain / factor * ramp


def shows(options: dict, needs: str, tokens: int) -> bool:
    """Whether a bug makes a difference that is far above rounding."""
    if needs != "yarn":
        return True
    if options["rope-factor"] == 1.0:
        return False
    turned = frequencies(options, True) - frequencies(options, False)
    return np.abs(turned).max() * (tokens - 1) > 0.02


def draw(rng: random.Random, bug: Bug, layout: str) -> tuple[dict, list[int]]:
    """An architecture and a prompt for which no bug is invisible."""
    while True:
        kv_heads, experts = rng.randint(2, 4), rng.randint(4, 9)
        options = configs.draw(rng) | {
            "layers": rng.randint(2, 4),
            "heads": kv_heads * rng.randint(2, 4),
            "kv-heads": kv_heads,
            "experts": experts,
            "top-k": rng.randint(2, experts - 1),
            "window": rng.choice([3, 4, 5, 8, 11]),
        }
        if bug.needs == "square":
            options["intermediate"] = options["hidden"]
        if layout != "original":
            options["layer-types"] = rng.choice(["sf", "fs", "ffs", "s"])
            options["layers"] += 1
        tokens = 2 * options["window"] + rng.randint(10, 40)
        if shows(options, bug.needs, tokens):
            return options, [rng.randrange(options["vocab"]) for _ in range(tokens)]


def first_sliding(options: dict) -> int:
    return options.get("layer-types", "sf").index("s")


def write_reference(directory, layout: str, ids: list[int], file) -> None:
    """A float32 dump of all stages by whom the layout belongs to."""
    kind = oracles.OpenAI if layout == "original" else oracles.Transformers
    oracle = kind(directory, "float32")
    metadata = dump.describe(oracle, directory, "float32")
    dump.write(file, oracle, ids, dump.Selection(), metadata)


class Case:
    """A checkpoint and its reference."""

    def __init__(self, directory, program, layout: str, options: dict, ids: list[int]):
        self.model = program.make(directory / "model", layout, *configs.arguments(options))
        self.reference = directory / "reference.safetensors"
        write_reference(self.model, layout, ids, self.reference)
        self.told = f"GPTOSS_LIVE_SEED={SEED}, {layout}, {options}"

    def judge(self, gptoss, mode: str) -> tuple[int, str]:
        """Exit status and first line of a comparison."""
        command = [gptoss, "parity", "-m", self.model, "--reference", self.reference, *MODES[mode]]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode in (0, 1), f"{done.stderr}{self.told}"
        return done.returncode, done.stdout.partition("\n")[0]

    def check_clean(self, gptoss) -> None:
        for mode in MODES:
            status, line = self.judge(gptoss, mode)
            assert status == 0, f"a departure that is not there, {mode}: {line}\n{self.told}"

    def check_departure(self, gptoss, layer: int, stage: str, tokens) -> None:
        """Both modes name this layer and stage, and one of these tokens, on their first line."""
        for mode in MODES:
            status, line = self.judge(gptoss, mode)
            where = re.match(r"first departure: layer (\d+), stage (\w+), token (\d+)", line)
            told = f"{mode}: {line}\n{self.told}"
            assert status == 1 and where, f"no departure, expected {layer}, {stage}; {told}"
            found = (int(where[1]), where[2])
            assert found == (layer, stage), f"expected layer {layer}, stage {stage}; {told}"
            assert int(where[3]) in tokens, f"expected one of {tokens}; {told}"


@pytest.fixture(scope="module", autouse=True)
def tell_seed(tell):
    tell(f"GPTOSS_LIVE_SEED={SEED} draws the same bugs, models and prompts again")


# ---- bugs in the sources -------------------------------------------------------------------------


def first_tokens(bug: Bug, name: str, options: dict, count: int) -> range:
    """Those of which the first may be the one that departs."""
    if bug.needs == "window":
        return range(options["window"] - (name == "window one shorter"), count)
    if bug.stage == "q_rotary":
        return range(1, count)  # position 0 is not turned
    return range(count)


@pytest.mark.parametrize("name", BUGS)
def test_source(name, workshop, tmp_path, program):
    bug = BUGS[name]
    rng = random.Random(f"{SEED}/{name}")
    layout = rng.choice(bug.layouts)
    options, ids = draw(rng, bug, layout)
    case = Case(tmp_path, program, layout, options, ids)
    case.check_clean(program.gptoss)
    layer = first_sliding(options) if bug.needs == "window" else 0
    before = workshop.plant(bug.patches)
    try:
        tokens = first_tokens(bug, name, options, len(ids))
        case.check_departure(workshop.gptoss, layer, bug.stage, tokens)
    finally:
        for path, text in before.items():
            path.write_text(text)


# ---- a bug in the weights ------------------------------------------------------------------------


def find_tensor(directory, name: str) -> tuple[pathlib.Path, int, list[int]]:
    """The file, the place in it and the shape of a tensor of a checkpoint."""
    for path in sorted(directory.glob("*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entry = json.loads(file.read(length)).get(name)
        if entry:
            return path, 8 + length + entry["data_offsets"][0], entry["shape"]
    raise AssertionError(f"{directory} has no tensor {name}")


def damage(path: pathlib.Path, place: int, shape: list[int], expert: int, column: int, rng) -> None:
    """Turns the sign of one code of an expert's gate_up, in a column."""
    _, rows, groups, _ = shape  # [experts, rows, columns / 32, 16], low nibble first
    data = bytearray(path.read_bytes())
    while True:
        row = rng.randrange(rows)
        group = (expert * rows + row) * groups + column // 32
        at = place + 16 * group + column % 32 // 2
        shift = 4 * (column % 2)
        if data[at] >> shift & 7 >= 3:  # 1.5 or more, in units of its scale
            data[at] ^= 8 << shift
            path.write_bytes(data)
            return


def test_nibble(tmp_path, program):
    rng = random.Random(f"{SEED}/nibble")
    layout = rng.choice(["original", "hf-mxfp4"])
    options, ids = draw(rng, Bug("gate_up", []), layout)
    case = Case(tmp_path, program, layout, options, ids)
    case.check_clean(program.gptoss)
    reference = load_file(case.reference)
    layer = rng.randrange(options["layers"])
    chosen = reference[f"layers.{layer}.experts"]
    expert = int(rng.choice(np.unique(chosen).tolist()))
    token = int(np.argmax((chosen == expert).any(axis=1)))  # the first that the expert sees
    column = int(np.abs(reference[f"layers.{layer}.mlp_norm"][token]).argmax())
    names = {
        "original": f"block.{layer}.mlp.mlp1_weight.blocks",
        "hf-mxfp4": f"model.layers.{layer}.mlp.experts.gate_up_proj_blocks",
    }
    damage(*find_tensor(case.model, names[layout]), expert, column, rng)
    case.check_departure(program.gptoss, layer, "gate_up", [token])


# ---- no bug --------------------------------------------------------------------------------------


def draw_clean(rng: random.Random) -> tuple[str, dict]:
    """A layout and an architecture it has, without vectors of a few numbers: where a router has one
    logit, its rounding has nothing to be small against."""
    kind = rng.choice([configs.draw, configs.draw_hf, configs.draw_odd])
    layouts = {configs.draw: LAYOUTS, configs.draw_hf: LAYOUTS[1:], configs.draw_odd: ["hf"]}
    while True:
        options = kind(rng)
        least = {"experts": 4, "head-dim": 4, "vocab": 16, "hidden": 31, "intermediate": 31}
        if all(options[key] >= size for key, size in least.items()):
            return rng.choice(layouts[kind]), options


@pytest.mark.parametrize("number", range(CLEAN_RUNS))
def test_clean(number, tmp_path, program):
    rng = random.Random(f"{SEED}/clean {number}")
    layout, options = draw_clean(rng)
    ids = [rng.randrange(options["vocab"]) for _ in range(rng.randint(1, 100))]
    Case(tmp_path, program, layout, options, ids).check_clean(program.gptoss)
