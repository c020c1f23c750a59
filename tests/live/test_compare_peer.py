"""tools/dev/compare-peer: its GGUF holds exactly the checkpoint's weights, and its tables say what
the programs printed. The peer is played by scripts."""

import json
import pathlib
import re
import stat
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

gguf = pytest.importorskip("gguf", reason="the Python package gguf is missing: pip install gguf")

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/dev/compare-peer"
SHAPE = ["--vocab", 700, "--layers", 3, "--hidden", 96, "--heads", 6, "--kv-heads", 2,
         "--head-dim", 16, "--intermediate", 64, "--experts", 5, "--seed", 11,
         "--rope-truncate"]  # fmt: skip

# Computes what the peer's perplexity tool would with float32 and its file format; the words of the
# GGUF's vocabulary stand for their place in it.
PERPLEXITY = r"""
import struct, subprocess, sys
import gguf, numpy as np
from safetensors.numpy import load_file
flag = lambda name: sys.argv[sys.argv.index(name) + 1]
if "--help" in sys.argv: sys.exit(1)
words = gguf.GGUFReader(flag("-m")).get_field("tokenizer.ggml.tokens").contents()
place = {word: id for id, word in enumerate(words)}
text = open(flag("-f")).read()
context, windows = int(flag("-c")), int(flag("--chunks"))
ids = [place["\u0120" + word] + SHIFT for word in text.split(" ")[1:]]
assert len(ids) >= 2 * context
out = open(flag("--kl-divergence-base"), "wb")
out.write(b"_logits_" + struct.pack("3i", context, VOCAB, windows))
out.write(np.array(ids[: windows * context], np.int32).tobytes())
for i in range(windows):
    window = ",".join(map(str, ids[i * context : (i + 1) * context]))
    subprocess.run([GPTOSS, "dump", "-m", MODEL, "--ids", window, "-o", OUT, "--positions",
                    f"{context // 2}-{context - 2}"], check=True)
    for logits in load_file(OUT)["logits"].astype(np.float64):
        logits = logits + NOISE * np.sin(np.arange(VOCAB))
        logits -= np.log(np.exp(logits).sum())
        step = (logits.max() - logits.min()) / 65535
        out.write(struct.pack("2f", step, logits.min()))
        out.write(np.rint((logits - logits.min()) / step).astype(np.uint16).tobytes())
"""

BENCH = r"""
import json, sys
if "--help" in sys.argv: print("  -rtr, --run-time-repack <0|1>"); sys.exit()
assert sys.argv[sys.argv.index("--run-time-repack") + 1] == "1"
flag = lambda name: int(sys.argv[sys.argv.index(name) + 1])
print("a line before the list")
print(json.dumps([{"n_prompt": flag("-p"), "n_gen": 0, "avg_ts": 50.0},
                  {"n_prompt": 0, "n_gen": flag("-n"), "avg_ts": 8.0}]))
"""


def script(path: pathlib.Path, text: str, **names) -> pathlib.Path:
    defined = "".join(f"{key} = {value!r}\n" for key, value in names.items())
    path.write_text(f"#!{sys.executable}\n{defined}{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def compare(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def table_row(text: str, *begin: object) -> list[str]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[: len(begin)] == [str(b) for b in begin]:
            return cells
    raise AssertionError(f"no row {begin} in\n{text}")


@pytest.fixture
def model(tmp_path, program):
    return program.make(tmp_path / "model", "hf-mxfp4", *SHAPE, "--shards", 2)


def read_gguf(path) -> dict:
    """Names to float32 as gguf's own reader and dequantiser give them."""
    return {
        each.name: (each.tensor_type.name, gguf.quants.dequantize(each.data, each.tensor_type))
        for each in gguf.GGUFReader(path).tensors
    }


def in_gguf(weights: dict) -> dict:
    """The unquantised layout [experts, in, out] under GGUF's names, [experts, out, in]."""
    renamed = [
        (r"model\.embed_tokens", "token_embd"), (r"model\.norm", "output_norm"),
        ("lm_head", "output"), (r"model\.layers\.", "blk."), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"), (r"mlp\.router", "ffn_gate_inp"),
        (r"self_attn\.([qkv])_proj", r"attn_\1"), (r"self_attn\.o_proj", "attn_output"),
        (r"self_attn\.sinks", "attn_sinks.weight"),
        (r"mlp\.experts\.down_proj$", "ffn_down_exps.weight"),
        (r"mlp\.experts\.down_proj_bias", "ffn_down_exps.bias"),
    ]  # fmt: skip
    out = {}
    for name, values in weights.items():
        values = values.to(torch.float32).numpy()
        if values.ndim == 3:
            values = values.transpose(0, 2, 1)
        for pattern, text in renamed:
            name = re.sub(pattern, text, name)
        if "gate_up_proj" in name:
            layer, kind = name.split(".mlp.")[0], "bias" if "bias" in name else "weight"
            out[f"{layer}.ffn_gate_exps.{kind}"] = values[:, 0::2]
            out[f"{layer}.ffn_up_exps.{kind}"] = values[:, 1::2]
        else:
            out[name] = values
    return out


@pytest.mark.parametrize("dense", ["bf16", "q8_0"])
def test_weights_are_equal(dense, tmp_path, program, model):
    """The unquantised checkpoint of the same seed knows nothing of blocks and scales."""
    truth = program.make(tmp_path / "hf", "hf", *SHAPE)
    wanted = in_gguf(load_file(truth / "model.safetensors"))
    done = compare("-m", model, "--gguf", tmp_path / "m.gguf", "--dense", dense)
    assert done.returncode == 0, done.stderr
    found = read_gguf(tmp_path / "m.gguf")
    assert found.keys() == wanted.keys()
    kinds = set()
    for name, (kind, values) in found.items():
        kinds.add(kind)
        assert values.shape == wanted[name].shape, name
        if kind == "Q8_0":
            groups = wanted[name].reshape(-1, 32)
            most = np.abs(groups).max(axis=1, keepdims=True) / 127 * 0.55
            assert (np.abs(values.reshape(-1, 32) - groups) <= most).all(), name
        else:
            assert np.array_equal(values, wanted[name]), name
    assert kinds == {"F32", "MXFP4", dense.upper()}


def test_conversion_is_done_once(tmp_path, model, program):
    path = tmp_path / "m.gguf"
    assert "writing" in compare("-m", model, "--gguf", path).stderr
    assert "writing" not in compare("-m", model, "--gguf", path).stderr
    assert "writing" in compare("-m", model, "--gguf", path, "--dense", "q8_0").stderr
    other = program.make(tmp_path / "other", "hf-mxfp4", *SHAPE, "--seed", 12)
    assert "writing" in compare("-m", other, "--gguf", path, "--dense", "q8_0").stderr


def test_speed(tmp_path, program, model):
    """Ours twice the peer's in one test and half of it in the other."""
    ours = r"""
import json, sys
if "--help" in sys.argv: print("--precision"); sys.exit()
assert sys.argv[1] == "bench" and ("--precision" in sys.argv or "--synthetic" in sys.argv)
read = {"read_before": 24e9, "read_after": 26e9}
if "--synthetic" in sys.argv: read = {"read_before": 20e9, "read_after": 22e9}
print(json.dumps([read | {"n_prompt": 32, "n_gen": 0, "avg_ts": 100.0},
                  {"n_prompt": 0, "n_gen": 4, "avg_ts": 4.0}]))
"""
    done = compare(
        "-m", model, "--gguf", tmp_path / "m.gguf", "--bench", script(tmp_path / "bench", BENCH),
        "--gptoss", script(tmp_path / "ours", ours), "--rounds", 3, "-p", 32, "-n", 4, "-t", "1,2",
        "--precision", "bf16,q8", "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for threads in [1, 2]:
        for precision in ["bf16", "q8"]:
            row = table_row(done.stdout, "pp32", threads, precision)
            assert row[3:] == ["100.00", "50.00", "2.000", "2.000 .. 2.000", "25.0", "21.0"]
            assert table_row(done.stdout, "tg4", threads, precision)[5:] == [
                "0.500", "0.500 .. 0.500", "-", "21.0",
            ]  # fmt: skip
    assert len(json.loads((tmp_path / "out.json").read_text())["rounds"]) == 3


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_quality(noise, tmp_path, program, model):
    """Of a peer that is float32, or float32 with logits off by noise * sin(id)."""
    peer = script(
        tmp_path / "peer", PERPLEXITY, SHIFT=0, NOISE=noise, VOCAB=700, MODEL=str(model),
        GPTOSS=program.gptoss, OUT=str(tmp_path / "dump"),
    )  # fmt: skip
    done = compare(
        "-m", model, "--gguf", tmp_path / "m.gguf", "--perplexity", peer, "--gptoss",
        program.gptoss, "--context", 40, "--windows", 2, "--precision", "f32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "38 positions" in done.stdout
    mean = float(table_row(done.stdout, "peer")[1])
    if noise == 0:
        assert abs(mean) < 1e-8
    else:
        assert mean == pytest.approx(noise**2 / 4, rel=0.1)  # half the variance of the error
    assert abs(float(table_row(done.stdout, "float32 in the peer's file")[1])) < 1e-8


def test_other_tokens_are_refused(tmp_path, program, model):
    peer = script(
        tmp_path / "peer", PERPLEXITY, SHIFT=-1, NOISE=0, VOCAB=700, MODEL=str(model),
        GPTOSS=program.gptoss, OUT=str(tmp_path / "dump"),
    )  # fmt: skip
    done = compare("-m", model, "--gguf", tmp_path / "m.gguf", "--perplexity", peer, "--gptoss",
                   program.gptoss, "--context", 16, "--precision", "f32")  # fmt: skip
    assert done.returncode == 1
    assert "other tokens" in done.stderr


def test_faults_are_told(tmp_path, program, model):
    path = tmp_path / "m.gguf"
    hf = program.make(tmp_path / "hf", "hf", *SHAPE)
    assert "MXFP4" in compare("-m", hf, "--gguf", path).stderr
    assert "config.json" in compare("-m", tmp_path / "none", "--gguf", path).stderr
    odd = program.make(tmp_path / "odd", "hf-mxfp4", *SHAPE, "--swiglu-limit", 2)
    assert "swiglu_limit 7.0" in compare("-m", odd, "--gguf", path).stderr
    assert not path.exists()
    done = compare("-m", model, "--gguf", path, "--bench", "/bin/false", "--gptoss", "/bin/false",
                   "--precision", "f32")  # fmt: skip
    assert done.returncode == 1 and "ended with 1" in done.stderr
    assert not list(tmp_path.glob("*.unfinished"))
    writer = gguf.GGUFWriter(path, "gpt-oss")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "not written by compare-peer" in compare("-m", model, "--gguf", path).stderr
