"""tools/reference/dump.py against itself: what must not change a bit, and stages that must fit.

Whether the stages are what the implementations compute shows in the formulas that join them.
"""

import gzip
import hashlib
import json
import pathlib

import numpy as np
import pytest
import safetensors
import torch

import dump
import o200k
import oracles
import stages

SHAPE = ["--layers", 3, "--hidden", 64, "--intermediate", 32, "--vocab", 200, "--heads", 6,
         "--kv-heads", 2, "--head-dim", 16, "--experts", 5, "--top-k", 3, "--window", 8,
         "--rope-original", 64, "--rope-beta-fast", 4, "--rope-factor", 8,
         "--rope-theta", 1000]  # fmt: skip
TOKENS = 41
RUNS = [
    ("transformers", "float32", "hf-mxfp4"), ("transformers", "bfloat16", "hf-mxfp4"),
    ("transformers", "float32", "hf"), ("openai", "float32", "original"),
    ("openai", "bfloat16", "original"), ("openai", "float64", "original"),
]  # fmt: skip

torch.set_num_threads(1)  # the matrices are tiny


class Dumps:
    """dump.py on the checkpoints of one small model."""

    def __init__(self, folder, program):
        self.folder = folder
        self.count = 0
        for layout in ["original", "hf-mxfp4", "hf"]:
            program.make(folder / layout, layout, *SHAPE, "--shards", 2)

    def write(self, backend, dtype, layout, *options: object, end=".safetensors"):
        """The path of a new dump."""
        self.count += 1
        path = self.folder / f"{self.count}{end}"
        fixed = ["--backend", backend, "--dtype", dtype, "-m", self.folder / layout, "-o", path]
        tokens = ["--random-ids", TOKENS] if "--prompt" not in options else []
        assert dump.main([str(a) for a in [*fixed, *tokens, *options]]) == 0
        return path


@pytest.fixture(scope="module")
def dumps(tmp_path_factory, program) -> Dumps:
    return Dumps(tmp_path_factory.mktemp("dumps"), program)


def read(path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


# ---- what must not change a bit ------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_streamed_is_whole(dumps, run):
    assert dumps.write(*run, "--stream").read_bytes() == dumps.write(*run).read_bytes()


@pytest.mark.parametrize("dtype", oracles.OpenAI.dtypes)
def test_layouts_hold_one_model(dumps, dtype):
    original, _ = read(dumps.write("openai", dtype, "original"))
    hub, _ = read(dumps.write("openai", dtype, "hf-mxfp4"))
    assert original.keys() == hub.keys()
    assert all(same_bits(original[name], hub[name]) for name in original)


def compare_slices(directory, dtype: str, ids: list[int], slices: list[int]) -> None:
    whole = oracles.OpenAI(directory, dtype, mlp_slice=len(ids)).run(ids, stages.STAGES)
    for count in slices:
        sliced = oracles.OpenAI(directory, dtype, mlp_slice=count).run(ids, stages.STAGES)
        assert sliced.keys() == whole.keys()
        for name in whole:
            assert np.array_equal(sliced[name], whole[name]), f"{name}, slices of {count}"


@pytest.mark.parametrize("dtype", oracles.OpenAI.dtypes)
def test_slices(dumps, dtype):
    ids = [(7 * i * i + i) % 200 for i in range(TOKENS)]
    compare_slices(dumps.folder / "original", dtype, ids, [2, 3, 7, 32, 40])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_slices_at_real_width(tmp_path, program, dtype):
    options = ["--preset", "20b", "--layers", 1, "--experts", 4, "--vocab", 200]
    model = program.make(tmp_path / "model", "original", *options)
    compare_slices(model, dtype, [1, 150, 3, 77], [2])


def test_selections(dumps):
    run = ("openai", "float32", "original")
    whole, _ = read(dumps.write(*run))
    rows, last = [0, 5, 6, 7, 40], [38, 39, 40]
    chosen = ["embedding", "q", "experts", "expert_out", "residual", "logits"]
    options = ["--positions", "0,5-7,-1", "--logits-positions", "38-40", "--layers", "1-2",
               "--stages", ",".join(chosen), "--moe-slice", 3]  # fmt: skip
    part, _ = read(dumps.write(*run, *options))
    assert part.pop("ids").tolist() == whole["ids"].tolist()
    assert part.pop("positions").tolist() == rows
    assert part.pop("logits.positions").tolist() == last
    names = [stages.tensor_name(stage, layer) for stage in chosen for layer in [1, 2]]
    assert part.keys() == set(names)
    for name, x in part.items():
        assert same_bits(x, whole[name][last if name == "logits" else rows]), name


def test_first_layers(dumps):
    whole, _ = read(dumps.write("transformers", "float32", "hf"))
    part, metadata = read(dumps.write("transformers", "float32", "hf", "--first-layers", 2))
    assert metadata["truncated_layers"] == "2"
    other = {name for name in whole if name.startswith("layers.2.")}
    assert part.keys() == whole.keys() - other - {"hidden.3", "final_norm", "logits"}
    assert all(same_bits(part[name], whole[name]) for name in part)


def test_compressed(dumps):
    run = ("openai", "bfloat16", "original")
    plain = dumps.write(*run).read_bytes()
    assert gzip.decompress(dumps.write(*run, end=".safetensors.gz").read_bytes()) == plain
    assert not list(dumps.folder.glob("*.partial*"))


# ---- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_metadata(dumps, run):
    backend, dtype, layout = run
    tensors, metadata = read(dumps.write(*run, "--seed", 5))
    directory = dumps.folder / layout
    package = oracles.BACKENDS[backend].package
    versions = json.loads(metadata["versions"])
    assert versions == oracles.versions(backend)
    assert metadata["format"] == "gptoss-dump-1"
    assert metadata["producer"] == f"{package} {versions[package]}"
    assert metadata["dtype"] == dtype and metadata["device"] == "cpu" and metadata["seed"] == "5"
    assert ("arithmetic" in metadata) == (dtype == "float64")
    assert json.loads(metadata["config"]) == json.loads((directory / "config.json").read_text())
    files = directory.glob("*.safetensors")
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert json.loads(metadata["weights"]) == sums and len(sums) == 2
    assert tensors["ids"].dtype == torch.int32 and len(tensors["ids"]) == TOKENS
    kinds = {x.dtype for x in tensors.values()}
    assert kinds == {torch.int32, getattr(torch, dtype)}


def test_prompt(tmp_path, program):
    model = pathlib.Path(__file__).parents[2] / "models" / "austen"
    text = "<|endoftext|>It is a truth universally acknowledged"
    for flags in [[], ["--parse-special"]]:
        path = str(tmp_path / "dump.safetensors")
        assert dump.main(["-m", str(model), "--backend", "transformers", "--prompt", text,
                          "--stages", "embedding", "-o", path, *flags]) == 0  # fmt: skip
        tensors, metadata = read(path)
        ours = program.run(program.gptoss, "tokenize", "-m", model, "--json", "-p", text, *flags)
        assert metadata["prompt"] == text
        assert metadata.get("specials") == ("true" if flags else None)
        assert tensors["ids"].tolist() == json.loads(ours)["ids"]


def test_prompt_of_o200k(tmp_path, program):
    options = ["--preset", "tiny", "--vocab", 201088]
    model = program.make(tmp_path / "original", "original", *options)
    (tmp_path / "o200k_base.tiktoken").write_bytes(o200k.read_ranks_file())
    path, text = str(tmp_path / "dump.safetensors"), "Rosen sind rot, \u4e16\u754c <|end|>"
    assert dump.main(["-m", str(model), "--backend", "openai", "--prompt", text,
                      "--stages", "embedding", "-o", path]) == 0  # fmt: skip
    encoding = o200k.load_encoding()
    assert read(path)[0]["ids"].tolist() == encoding.encode(text, disallowed_special=())


# ---- stages that must fit ------------------------------------------------------------------------


def of_layer(tensors: dict, layer: int) -> dict:
    prefix = f"layers.{layer}."
    return {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}


@pytest.mark.parametrize("run", RUNS)
def test_residual(dumps, run):
    """Sums of two numbers, rounded as the implementation rounds them."""
    tensors, _ = read(dumps.write(*run))
    for layer in range(3):
        t = of_layer(tensors, layer)
        before, after = tensors[f"hidden.{layer}"], tensors[f"hidden.{layer + 1}"]
        assert same_bits(before + t["attention_out"], t["attention_residual"])
        assert same_bits(t["attention_residual"] + t["combined"], after)


@pytest.mark.parametrize("run", RUNS)
def test_routing(dumps, run):
    tensors, _ = read(dumps.write(*run))
    for layer in range(3):
        t = of_layer(tensors, layer)
        chosen = t["router"].gather(1, t["experts"].long())
        assert same_bits(chosen, t["router"].sort(descending=True).values[:, :3])
        assert same_bits(chosen.softmax(dim=1), t["routing_weights"])
        assert ((t["sink_mass"] > 0) & (t["sink_mass"] < 1)).all()


@pytest.mark.parametrize("run", [run for run in RUNS if run[0] == "transformers"])
def test_combined_by_transformers(dumps, run):
    """Its loop adds one expert after the other, in ascending order."""
    tensors, _ = read(dumps.write(*run))
    for layer in range(3):
        t = of_layer(tensors, layer)
        total = torch.zeros_like(t["combined"])
        weighted = t["expert_out"] * t["routing_weights"][:, :, None]
        for place in t["experts"].argsort(dim=1).T:
            total += weighted[range(TOKENS), place]
        assert same_bits(total, t["combined"])


@pytest.mark.parametrize("run", RUNS)
def test_experts(dumps, run):
    """Each expert's own weights, applied to what is stored, in double precision."""
    tensors, _ = read(dumps.write(*run))
    weights, _ = read(sorted((dumps.folder / "hf").glob("*.safetensors"))[0])
    for file in (dumps.folder / "hf").glob("*.safetensors"):
        weights |= read(file)[0]
    for layer in range(3):
        t = {name: x.double() for name, x in of_layer(tensors, layer).items()}
        w = {name.removeprefix(f"model.layers.{layer}.mlp.experts."): x.double()
             for name, x in weights.items()}  # fmt: skip
        chosen = t["experts"].long()
        gate_up = torch.einsum("ti,tkij->tkj", t["mlp_norm"], w["gate_up_proj"][chosen])
        gate_up += w["gate_up_proj_bias"][chosen]
        out = torch.einsum("tki,tkij->tkj", t["activated"], w["down_proj"][chosen])
        out += w["down_proj_bias"][chosen]
        gate, up = t["gate_up"][..., ::2].clamp(max=7), t["gate_up"][..., 1::2].clamp(-7, 7)
        activated = gate * torch.sigmoid(1.702 * gate) * (up + 1)
        combined = torch.einsum("tkj,tk->tj", t["expert_out"], t["routing_weights"])
        found = {"gate_up": gate_up, "activated": activated, "expert_out": out}
        found["combined"] = combined
        limit = {"float32": 1e-6, "bfloat16": 2e-2, "float64": 1e-14}[run[1]]
        for stage, wanted in found.items():
            error = (t[stage] - wanted).norm() / wanted.norm()
            assert error < limit, f"{stage} of layer {layer}: {error:.1e}"


def test_float64(dumps, figures):
    narrow, _ = read(dumps.write("openai", "float32", "original"))
    wide, _ = read(dumps.write("openai", "float64", "original"))
    for name in narrow.keys() - {"ids"}:
        wanted = wide[name].double()
        error = (narrow[name] - wanted).norm() / wanted.norm()
        figures.note("float32 against float64, relative", float(error))
        assert error < 2e-6, f"{name}: {error:.1e}"


# ---- what is refused -----------------------------------------------------------------------------

REFUSED = [
    (["--ids", "1,200"], "token 200 is outside the vocabulary of 200"),
    (["--ids", "1,x"], "--ids are written like 1,2,3, not '1,x'"),
    (["--ids", "1", "--stages", "q,p"], "there is no stage 'p'"),
    (["--ids", "1,2", "--positions", "1,0"], "positions ascend, unlike '1,0'"),
    (["--ids", "1,2", "--positions", "2"], "positions lie from 0 to 1, unlike '2'"),
    (["--ids", "1,2", "--positions", "1,-3"], "positions ascend, unlike '1,-3'"),
    (["--ids", "1,2", "--layers", "3"], "layers lie from 0 to 2, unlike '3'"),
    (["--ids", "1,2", "--layers", "0,2"], "layers are written like 3 or 2-5, not '0,2'"),
    (["--ids", "1", "--moe-slice", "1"], "--moe-slice is at least 2, not 1"),
    (["--prompt", "text"], "has neither tokenizer.json nor *.tiktoken; give --ids"),
]


@pytest.mark.parametrize("options,sentence", REFUSED)
def test_refused(dumps, capsys, options, sentence):
    path = dumps.folder / "refused.safetensors"
    fixed = ["-m", str(dumps.folder / "original"), "--backend", "openai", "-o", str(path)]
    assert dump.main(fixed + options) == 2
    message = capsys.readouterr().err
    assert sentence in message and message.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize("backend,layout", [("transformers", "original"), ("openai", "hf")])
def test_unsuitable(dumps, capsys, backend, layout):
    fixed = ["-m", str(dumps.folder / layout), "--backend", backend, "--ids", "1"]
    assert dump.main([*fixed, "-o", str(dumps.folder / "refused.safetensors")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
