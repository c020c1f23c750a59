"""Writes tests/golden: small random checkpoints and what the official implementations make of them.

    python tools/reference/golden.py --make-checkpoint build/release/tools/dev/make-checkpoint

Each case is a directory with one checkpoint per layout, all of the same model, and dumps of it
(tools/reference/dump.py; their metadata say what computed them). Run it again only to change a
case: the tests read the files, never this script.
"""

import argparse
import json
import pathlib
import shutil
import subprocess

import numpy as np
import torch

import dump
import oracles
import stages

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
HIDDEN = ["embedding", "residual", "logits"]

# "published": what the released models have, small: alternating layers, several query heads per kv
# head (and not as many as there are kv heads), experts in MXFP4.
# "uneven": what only a Hugging Face config can say, with sizes that fill no vector and no MXFP4
# group: two full layers in a row, YaRN's bounds rounded, all experts taken, a low clamp; every
# tensor lies at an odd address, and the prompt goes round the ring of a sliding layer several
# times. Its weights are float16, which the implementations would round to run it in bfloat16.
# A dump is of every stage of all tokens, unless it says otherwise.
CASES = {
    "published": {
        "layouts": ["original", "hf-mxfp4", "hf"],
        "tokens": 40,
        "dumps": {
            "transformers.safetensors": {"of": "hf-mxfp4"},
            "openai.safetensors": {"of": "original"},
            "transformers-bf16.safetensors.gz": {"of": "hf-mxfp4", "dtype": "bfloat16"},
            "openai-bf16.safetensors": {"of": "original", "dtype": "bfloat16"},
        },
        "options": "--layers 3 --hidden 64 --intermediate 32 --vocab 200 --heads 6 --kv-heads 2 "
        "--head-dim 16 --experts 5 --top-k 2 --window 8 --rope-original 64 --rope-beta-fast 4 "
        "--rope-factor 8 --rope-theta 1000 --seed 20",
    },
    "uneven": {
        "layouts": ["hf"],
        "tokens": 200,
        "dumps": {
            "transformers.safetensors": {"of": "hf", "stages": HIDDEN},
            "transformers-stages.safetensors.gz": {"of": "hf", "tokens": 48},
        },
        "options": "--layers 4 --hidden 40 --intermediate 24 --vocab 131 --heads 3 --kv-heads 3 "
        "--head-dim 10 --experts 3 --top-k 3 --window 33 --layer-types sffs --rope-original 64 "
        "--rope-beta-fast 2.5 --rope-beta-slow 0.5 --rope-factor 4 --rope-theta 300 "
        "--rope-truncate --swiglu-limit 1.5 --dtype f16 --unaligned --seed 21",
    },
}


def make(program: str, options: list[str], layout: str, directory: pathlib.Path) -> str:
    command = ["make-checkpoint", *options, "--layout", layout]
    subprocess.run([program, *command[1:], "-o", str(directory)], check=True)
    return " ".join(command)


def write(root: pathlib.Path, file: str, ids: list[int], of: str, command: str, **options) -> None:
    dtype = options.get("dtype", "float32")
    kind = oracles.BACKENDS["openai" if of == "original" else "transformers"]
    oracle = kind(root / of, dtype)
    selection = dump.Selection(options.get("stages", stages.STAGES))
    metadata = dump.describe(oracle, root / of, dtype) | {"checkpoint": command}
    dump.write(root / file, oracle, ids[: options.get("tokens")], selection, metadata)


def write_case(program: str, name: str, case: dict) -> None:
    root = GOLDEN / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    options = case["options"].split()
    commands = {l: make(program, options, l, root / l) for l in case["layouts"]}
    vocab = json.loads((root / "hf" / "config.json").read_text())["vocab_size"]
    ids = np.random.default_rng(len(name)).integers(0, vocab, case["tokens"]).tolist()
    for file, options in case["dumps"].items():
        write(root, file, ids, command=commands[options["of"]], **options)
    agree(root, ids, case["layouts"])


def agree(root: pathlib.Path, ids: list[int], layouts: list[str]) -> None:
    """The layouts hold one model, and the oracles agree about it in float32."""
    kinds = {"original": oracles.OpenAI}
    found = {l: kinds.get(l, oracles.Transformers)(root / l).run(ids) for l in layouts}
    truth = found["hf"]
    for layout, other in found.items():
        worst = max(oracles.nmse(other[key], truth[key]) for key in truth)
        print(f"{root.name}/{layout} against hf: NMSE {worst:.1e}")
        assert worst < 1e-11, "the oracles disagree"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make-checkpoint", required=True, help="the built developers' tool")
    torch.set_num_threads(1)  # the matrices are tiny
    program = parser.parse_args().make_checkpoint
    for name, case in CASES.items():
        write_case(program, name, case)


if __name__ == "__main__":
    main()
