#!/usr/bin/env python3
"""Runs an official implementation of gpt-oss and writes what it computes, stage by stage.

    python tools/reference/dump.py -m DIR --backend transformers --dtype float32 \\
        --prompt "Roses are red," -o roses.safetensors.gz

`gptoss parity` compares with such a file; docs/PARITY.md describes it. With --stream one layer at a
time is in memory, and the numbers are the same. tools/reference/oracles.py says how the
implementations are run, tools/reference/stages.py where the stages are seen.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import sys
import time

import safetensors
import torch

import loading
import oracles
import stages
from dump_file import DumpFile

INTEGERS = ["experts"]  # stages of ids


@dataclasses.dataclass
class Selection:
    """What of a run is kept. Positions are ascending; None is all of them."""

    stages: list[str] = dataclasses.field(default_factory=lambda: stages.STAGES)
    layers: range | None = None
    positions: list[int] | None = None
    logits_positions: list[int] | None = None


class _Sink:
    """Writes the selected rows of the selected stages."""

    def __init__(self, file: DumpFile, plan: dict, selection: Selection, progress):
        self._file, self._plan, self._progress = file, plan, progress
        self._positions = {"logits": selection.logits_positions}
        self._others = selection.positions

    def wants(self, stage: str, layer: int) -> bool:
        self._progress(stage, layer)
        return stages.tensor_name(stage, layer) in self._plan

    def put(self, stage: str, layer: int, rows: torch.Tensor, first_row: int) -> None:
        positions = self._positions.get(stage, self._others)
        if positions is not None:
            inside = [p - first_row for p in positions if 0 <= p - first_row < len(rows)]
            first_row = sum(p < first_row for p in positions)
            rows = rows[inside]
        rows = rows.int() if stage in INTEGERS else rows
        self._file.put(stages.tensor_name(stage, layer), first_row, rows)


def _plan(shape: stages.Shape, dtype, tokens: int, selection: Selection) -> dict[str, tuple]:
    """Name -> (type, shape) of every tensor of the file, in order of computation."""
    plan = {"ids": (torch.int32, (tokens,))}
    layers = selection.layers or range(shape.layers)
    rows = {stage: tokens for stage in stages.STAGES}
    if selection.positions is not None:
        plan["positions"] = (torch.int32, (len(selection.positions),))
        rows |= dict.fromkeys(rows, len(selection.positions))
    if selection.logits_positions is not None:
        rows["logits"] = len(selection.logits_positions)
    if selection.logits_positions != selection.positions:
        plan["logits.positions"] = (torch.int32, (rows["logits"],))

    def add(stage: str, layer: int) -> None:
        if stage in selection.stages:
            kind = torch.int32 if stage in INTEGERS else dtype
            name = stages.tensor_name(stage, layer)
            plan[name] = (kind, (rows[stage], *shape.columns(stage)))

    add("embedding", 0)
    for layer in layers:
        for stage in stages.STAGES:
            if stage not in stages.OUTSIDE:
                add(stage, layer)
    add("final_norm", 0)
    add("logits", 0)
    return plan


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def describe(oracle, directory, dtype: str) -> dict[str, str]:
    """The metadata of a dump, but for what its tokens are."""
    versions = oracles.versions(oracle.name)
    files = loading.weight_files(directory)
    metadata = {
        "format": "gptoss-dump-1",
        "producer": f"{oracle.package} {versions[oracle.package]}",
        "dtype": dtype,
        "versions": json.dumps(versions),
        "device": "cpu",
        "config": json.dumps(loading.read_config(directory)),
        "weights": json.dumps({file.name: _sha256(file) for file in files}),
    }
    if dtype == "float64":
        metadata["arithmetic"] = oracles.FLOAT64
    return metadata


def write(path, oracle, ids: list[int], selection: Selection, metadata: dict[str, str],
          progress=lambda stage, layer: None) -> None:  # fmt: skip
    """Runs the tokens and writes the file."""
    dtype = getattr(torch, metadata["dtype"])
    if selection.logits_positions is None:
        selection = dataclasses.replace(selection, logits_positions=selection.positions)
    plan = _plan(oracle.shape, dtype, len(ids), selection)
    with DumpFile(path, plan, metadata) as file:
        known = {"ids": ids, "positions": selection.positions,
                 "logits.positions": selection.logits_positions}  # fmt: skip
        for name in known.keys() & plan.keys():
            file.put(name, 0, torch.tensor(known[name], dtype=torch.int32))
        oracle.observe(ids, _Sink(file, plan, selection, progress))


# ---- the command line ----------------------------------------------------------------------------


class Usage(Exception):
    """What is wrong with the command line, in a sentence."""


def _numbers(text: str, what: str, end: int) -> list[int]:
    """"0-3,9,-1" -> [0, 1, 2, 3, 9, end - 1]: ascending, below `end`."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(-?\d+)|(\d+)-(\d+)", part)
        if not match:
            raise Usage(f"{what} are written like 0-3,9,-1, not '{text}'")
        if match[1]:
            found.append(int(part) + (end if part[0] == "-" else 0))
        else:
            found += range(int(match[2]), int(match[3]) + 1)
    if sorted(set(found)) != found:
        raise Usage(f"{what} ascend, unlike '{text}'")
    if not found or found[0] < 0 or found[-1] >= end:
        raise Usage(f"{what} lie from 0 to {end - 1}, unlike '{text}'")
    return found


def _encode(directory, text: str, specials: bool) -> list[int]:
    """The text's ids by the tokenizer of the directory, or of the one above it."""
    folders = [pathlib.Path(directory), pathlib.Path(directory).resolve().parent]
    for folder in folders:
        if (folder / "tokenizer.json").exists():
            import tokenizers

            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.encode_special_tokens = not specials  # their name for: take them for text
            return tokenizer.encode(text, add_special_tokens=False).ids
        for ranks in sorted(folder.glob("*.tiktoken")):
            import o200k

            encoding = o200k.load_encoding(ranks.read_bytes())
            return encoding.encode(text, allowed_special="all" if specials else set(),
                                   disallowed_special=())  # fmt: skip
    raise Usage(f"{directory} has neither tokenizer.json nor *.tiktoken; give --ids")


def _tokens(arguments, vocab: int) -> tuple[list[int], dict[str, str]]:
    """The tokens to run and what the metadata say of them."""
    if arguments.prompt is not None:
        ids = _encode(arguments.model, arguments.prompt, arguments.parse_special)
        told = {"prompt": arguments.prompt}
        told |= {"specials": "true"} if arguments.parse_special else {}
    elif arguments.random_ids is not None:
        draw = random.Random(arguments.seed)
        ids = [draw.randrange(vocab) for _ in range(arguments.random_ids)]
        told = {"seed": str(arguments.seed)}
    else:
        parts = arguments.ids.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise Usage(f"--ids are written like 1,2,3, not '{arguments.ids}'")
        ids, told = [int(part) for part in parts], {}
    if not ids:
        raise Usage("there are no tokens")
    if max(ids) >= vocab:
        raise Usage(f"token {max(ids)} is outside the vocabulary of {vocab}")
    return ids, told


def _select(arguments, shape: stages.Shape, tokens: int) -> Selection:
    selection = Selection()
    if arguments.first_layers:  # another model's final_norm and logits would follow
        selection.stages = [s for s in stages.STAGES if s not in ("final_norm", "logits")]
    if arguments.stages != "all":
        selection.stages = arguments.stages.split(",")
        for stage in selection.stages:
            if stage not in stages.STAGES:
                raise Usage(f"there is no stage '{stage}'; they are {', '.join(stages.STAGES)}")
    if arguments.layers:
        layers = _numbers(arguments.layers, "layers", shape.layers)
        selection.layers = range(layers[0], layers[-1] + 1)
        if len(selection.layers) != len(layers):
            raise Usage(f"layers are written like 3 or 2-5, not '{arguments.layers}'")
    if arguments.positions:
        selection.positions = _numbers(arguments.positions, "positions", tokens)
    if arguments.logits_positions:
        selection.logits_positions = _numbers(arguments.logits_positions, "positions", tokens)
    return selection


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False,
        usage="dump.py -m DIR --backend B (--ids LIST | --prompt TEXT | --random-ids N) -o FILE",
    )  # fmt: skip
    add = parser.add_argument
    add("-m", "--model", required=True, metavar="DIR", help="directory of the checkpoint")
    add("--backend", required=True, choices=oracles.BACKENDS, help="who computes")
    add("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    tokens = parser.add_mutually_exclusive_group(required=True)
    tokens.add_argument("--ids", metavar="1,2,3", help="tokens")
    tokens.add_argument("-p", "--prompt", metavar="TEXT", help="text, without a chat template")
    tokens.add_argument("--random-ids", metavar="N", type=int, help="so many, drawn by --seed")
    add("--seed", type=int, default=1)
    add("--parse-special", action="store_true", help="special tokens in the text count as such")
    add("-o", "--output", required=True, metavar="FILE", help=".safetensors or .safetensors.gz")
    add("--stages", default="all", metavar="LIST", help="names with commas; all")
    add("--layers", metavar="A-B", help="of the stages within layers, from 0; all")
    add("--positions", metavar="LIST", help="rows to keep, such as 0-3,9,-1; all")
    add("--logits-positions", metavar="LIST", help="the same of logits; as --positions")
    add("--first-layers", type=int, metavar="N", 
        help="run these layers only; nothing behind them is written")  # fmt: skip
    add("--stream", action="store_true", help="hold one layer in memory at a time")
    add("--moe-slice", type=int, metavar="N",
        help="tokens that OpenAI's MLP sees at once; up to 32, as fit into 2.5 GB")  # fmt: skip
    add("--threads", type=int, metavar="N", help="of torch")
    return parser.parse_args(argv)


def _open(arguments):
    kind = oracles.BACKENDS[arguments.backend]
    if arguments.dtype not in kind.dtypes:
        known = " or ".join(kind.dtypes)
        raise Usage(f"{arguments.backend} computes in {known}, not in {arguments.dtype}")
    at_least = {"random_ids": 1, "first_layers": 1, "moe_slice": oracles.LEAST_SLICE, "threads": 1}
    for option, least in at_least.items():
        value = getattr(arguments, option)
        if value is not None and value < least:
            raise Usage(f"--{option.replace('_', '-')} is at least {least}, not {value}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = {"stream": arguments.stream, "first_layers": arguments.first_layers}
    if arguments.backend == "openai":
        options["mlp_slice"] = arguments.moe_slice
    elif arguments.moe_slice:
        raise Usage("--moe-slice is for the openai back end")
    return kind(arguments.model, arguments.dtype, **options)


def _progress(layers: int):
    """A line on a terminal."""
    if not sys.stderr.isatty():
        return lambda stage, layer: None

    def show(stage: str, layer: int) -> None:
        end = "\r" if stage != "logits" else "\n"
        print(f"layer {layer + 1} of {layers}: {stage:20}", end=end, file=sys.stderr, flush=True)

    return show


def _run(arguments) -> None:
    begin = time.monotonic()
    oracle = _open(arguments)
    ids, told = _tokens(arguments, oracle.shape.vocab)
    selection = _select(arguments, oracle.shape, len(ids))
    metadata = describe(oracle, arguments.model, arguments.dtype) | told
    if arguments.first_layers:
        metadata["truncated_layers"] = str(oracle.shape.layers)
    hashed = time.monotonic()
    write(arguments.output, oracle, ids, selection, metadata, _progress(oracle.shape.layers))
    end = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"{arguments.output}: {os.path.getsize(arguments.output) / 1e6:.1f} MB, {len(ids)} tokens, "
        f"{end - begin:.1f} s ({hashed - begin:.1f} of them to load and hash), peak {peak:.2f} GB",
        file=sys.stderr,
    )


def main(argv: list[str] | None = None) -> int:
    try:
        _run(_parse(argv))
    except (Usage, loading.Unsuitable, safetensors.SafetensorError, OSError) as error:
        known = isinstance(error, OSError) and error.filename
        sentence = f"{error.filename}: {error.strerror}" if known else error
        print(f"dump.py: {sentence}", file=sys.stderr)
        return 2 if isinstance(error, Usage) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
