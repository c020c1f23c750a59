"""Writes tests/golden: small random checkpoints and what the official implementations make of them.

    python tools/reference/golden.py --make-checkpoint build/release/tools/dev/make-checkpoint

Each case is a directory with one checkpoint per layout, all of the same model, and one file per
oracle: transformers.safetensors and, where the case has the original layout, openai.safetensors.
They hold F32 tensors named as `gptoss dump` names them and "ids" (I32); the metadata says what
computed them. Run it again only to change a case: the tests read the files, never this script.
"""

import argparse
import json
import pathlib
import shutil
import subprocess

import numpy as np
from safetensors.numpy import save_file

import oracles

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"

# "published": what the released models have, small: alternating layers, several query heads per kv
# head (and not as many as there are kv heads), experts in MXFP4.
# "uneven": what only a Hugging Face config can say, with sizes that fill no vector and no MXFP4
# group: two full layers in a row, YaRN's bounds rounded, all experts taken, a low clamp; every tensor
# lies at an odd address, and the prompt goes round the ring of a sliding layer several times.
CASES = {
    "published": {
        "layouts": ["original", "hf-mxfp4", "hf"],
        "tokens": 40,
        "options": "--layers 3 --hidden 64 --intermediate 32 --vocab 200 --heads 6 --kv-heads 2 "
        "--head-dim 16 --experts 5 --top-k 2 --window 8 --rope-original 64 --rope-beta-fast 4 "
        "--rope-factor 8 --rope-theta 1000 --seed 20",
    },
    "uneven": {
        "layouts": ["hf"],
        "tokens": 200,
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


def write(path: pathlib.Path, oracle, ids: list[int], command: str) -> dict[str, np.ndarray]:
    found = oracle.run(ids)
    metadata = oracles.provenance(oracle.name) | {"oracle": oracle.name, "checkpoint": command}
    save_file(found | {"ids": np.array(ids, dtype=np.int32)}, path, metadata)
    return found


def write_case(program: str, name: str, case: dict) -> None:
    root = GOLDEN / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    options = case["options"].split()
    commands = {l: make(program, options, l, root / l) for l in case["layouts"]}
    vocab = json.loads((root / "hf" / "config.json").read_text())["vocab_size"]
    ids = np.random.default_rng(len(name)).integers(0, vocab, case["tokens"]).tolist()

    first = next(layout for layout in case["layouts"] if layout != "original")
    truth = write(
        root / "transformers.safetensors", oracles.Transformers(root / first), ids, commands[first]
    )
    other = {"hf": oracles.Transformers(root / "hf").run(ids)}
    if "original" in case["layouts"]:
        openai = oracles.OpenAI(root / "original")
        other["original"] = write(root / "openai.safetensors", openai, ids, commands["original"])
    for layout, found in other.items():
        worst = max(oracles.nmse(found[key], truth[key]) for key in truth)
        print(f"{name}/{layout} against {first}: NMSE {worst:.1e}")
        assert worst < 1e-11, "the oracles disagree"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make-checkpoint", required=True, help="the built developers' tool")
    program = parser.parse_args().make_checkpoint
    for name, case in CASES.items():
        write_case(program, name, case)


if __name__ == "__main__":
    main()
