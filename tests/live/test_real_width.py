"""Two layers of the published models' width, in MXFP4: every stage against both implementations.

float32: transformers over 32 and over 600 tokens, past the window and past a chunk; and how far we
and PyTorch are from a float64 evaluation of the same tokens. bfloat16: OpenAI's torch code, each
stage from its own input and from end to end, with --numerics torch-bf16.
"""

import json
import subprocess

import pytest
from safetensors import safe_open

import dump

SHAPE = ["--preset", "20b", "--layers", 2, "--shards", 2, "--seed", 2880]

# Differences of values of unit scale: the best figures that are published for another port of these
# models. Stages that are larger than that get more in proportion.
LOGITS_LIMIT = 1.9e-5
HIDDEN_LIMIT = 1.5e-4
EXPERTS_LIMIT = 4.5e-4
EXPERTS = ["router", "routing_weights", "gate_up", "activated", "expert_out", "combined"]


class Bench:
    """The checkpoint, dumps of it, and reports of `gptoss parity`."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.model = program.make(folder / "model", "hf-mxfp4", *SHAPE)

    def dump(self, backend: str, dtype: str, tokens: int):
        path = self.folder / f"{backend}-{dtype}-{tokens}.safetensors"
        if not path.exists():
            options = ["--backend", backend, "--dtype", dtype, "--stream", "--seed", 7]
            options += ["-m", self.model, "--random-ids", tokens, "-o", path]
            assert dump.main([str(option) for option in options]) == 0
        return path

    def parity(self, reference, *options: object) -> dict:
        """The report; that stages depart is not an error here."""
        command = [self.program.gptoss, "parity", "--json", "--reference", reference, *options]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def model_parity(self, reference, *options: object) -> dict:
        return self.parity(reference, "-m", self.model, *options)


@pytest.fixture(scope="module")
def bench(program, tmp_path_factory):
    made = Bench(program, tmp_path_factory.mktemp("width"))
    yield made
    for path in made.model.iterdir():  # 3 GB
        path.unlink()


def check_float32(stage: dict, note) -> None:
    name = stage["stage"]
    limit = EXPERTS_LIMIT if name in EXPERTS else HIDDEN_LIMIT
    limit = LOGITS_LIMIT if name == "logits" else limit
    scale = max(1.0, stage["peak_reference"] / 6)  # normal numbers of unit variance end at 4 to 6
    note(name, stage["max_difference"] / scale / limit)
    assert stage["max_difference"] <= limit * scale, stage


@pytest.mark.parametrize("tokens", [32, 600])
def test_float32(bench, figures, tokens):
    reference = bench.dump("transformers", "float32", tokens)
    for mode in ["chained", "isolated"]:
        options = ["--isolated"] if mode == "isolated" else []
        report = bench.model_parity(reference, *options)
        for stage in report["stages"]:
            title = f"{tokens} tokens, float32, {mode}: share of the limit: "
            check_float32(stage, lambda name, share: figures.note(title + name, share))
        assert report["pass"], report["first_departure"]
        assert report["router"]["flips"] == []
        assert report["logits"]["top1"] == 1
    if tokens > 32:
        reference.unlink()  # 0.9 GB


def test_threads_and_chunks(bench):
    """The same bits, whatever the batch."""
    with safe_open(bench.dump("transformers", "float32", 32), "np") as file:
        ids = ",".join(map(str, file.get_tensor("ids")))
    files = [bench.folder / "a.safetensors", bench.folder / "b.safetensors"]
    for path, options in zip(files, [[], ["--chunk", 7, "-t", 1]]):
        flags = ["--ids", ids, "--stages", "all", "-o", path, *options]
        bench.program.run(bench.program.gptoss, "dump", "-m", bench.model, *flags)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_float64(bench, figures):
    """Our float32 is not further from float64 than PyTorch's is, stage by stage."""
    truth = bench.dump("openai", "float64", 32)
    theirs = bench.parity(truth, "--candidate", bench.dump("openai", "float32", 32))
    ours = bench.model_parity(truth, "--numerics", "f32")
    for mine, other in zip(ours["stages"], theirs["stages"]):
        assert (mine["stage"], mine["layer"]) == (other["stage"], other["layer"])
        if other["nmse"] > 0:
            name = f"error against float64, ours / PyTorch's: {mine['stage']}"
            figures.note(name, mine["nmse"] / other["nmse"])
        # Where both only round once, they may differ by the last digits of the sums.
        assert mine["nmse"] <= 1.001 * other["nmse"], (mine, other)


# They round inside: probabilities before their weighted sum, sums before the bias is added. Where
# the rest cancels what was rounded, a unit of it is many of the result.
ROUNDED_INSIDE = ["attention", "gate_up", "expert_out"]


def test_bfloat16_isolated(bench, figures):
    report = bench.model_parity(bench.dump("openai", "bfloat16", 32), "--isolated")
    assert report["numerics"] == "torch-bf16"
    for stage in report["stages"]:
        name = stage["stage"]
        figures.note(f"bfloat16, isolated: % not bit-equal: {name}", 100 - 100 * stage["bit_equal"])
        figures.note(f"bfloat16, isolated: ulp: {name}", stage["max_ulp"])
        if name == "experts":
            continue
        assert stage["bit_equal"] >= 0.999, stage
        assert stage["max_ulp"] <= 2 or name in ROUNDED_INSIDE, stage
    assert all(flip["margin"] == 0 for flip in report["router"]["flips"])
    assert report["pass"], report["first_departure"]


def test_bfloat16_chained(bench, figures):
    report = bench.model_parity(bench.dump("openai", "bfloat16", 32))
    for stage in report["stages"]:
        figures.note(f"bfloat16, chained: NMSE: {stage['stage']}", stage["nmse"])
    assert report["pass"], report["first_departure"]
    assert all(top["ulp"] <= 4 for top in report["logits"]["disagreements"])
