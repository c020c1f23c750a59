"""Weights for the official implementations, all at once or a layer at a time.

What a tensor means is left to them: this finds names, reads bytes and calls their dequantisers.
"""

import json
import os
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import safetensors
import torch


class Unsuitable(Exception):
    """A checkpoint that an implementation cannot run, in a sentence."""


def read_config(directory) -> dict:
    path = pathlib.Path(directory) / "config.json"
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Unsuitable(f"{path} is not JSON: {error}") from error


def weight_files(directory) -> list[pathlib.Path]:
    """The files that the index names, or all there are."""
    directory = pathlib.Path(directory)
    index = directory / "model.safetensors.index.json"
    if index.exists():
        names = set(json.loads(index.read_text())["weight_map"].values())
    else:
        names = {path.name for path in directory.glob("*.safetensors")}
    if not names:
        raise Unsuitable(f"{directory} has no *.safetensors")
    return [directory / name for name in sorted(names)]


class Stored:
    """Tensors by name. Each is mapped on its own and gone from memory with its last use."""

    def __init__(self, directory):
        self._file_of = {}
        for file in weight_files(directory):
            with safetensors.safe_open(file, framework="pt") as opened:
                self._file_of |= dict.fromkeys(opened.keys(), file)

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._file_of:
            raise Unsuitable(f"the checkpoint has no tensor {name}")
        with safetensors.safe_open(self._file_of[name], framework="pt") as opened:
            return opened.get_tensor(name)


def expert_by_expert(shape, dtype: torch.dtype, dequantise) -> torch.Tensor:
    """[experts, ...] filled by dequantise(slice of experts), without a second copy of all."""
    experts = torch.empty(shape, dtype=dtype)

    @torch.inference_mode()
    def fill(i: int) -> None:
        torch.set_num_threads(1)  # of this worker: its operations are small
        experts[i : i + 1] = dequantise(slice(i, i + 1))

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(fill, range(len(experts))))
    return experts


def load_while_running(module, load) -> None:
    """Gives the module its weights, load() -> state, only for the time in which it runs."""

    def before(module, inputs) -> None:
        module.load_state_dict(load(), assign=True)

    def after(module, inputs, output) -> None:
        module.to("meta")

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


# ---- transformers --------------------------------------------------------------------------------


def transformers_state(stored: Stored, module, prefix: str, dtype) -> dict[str, torch.Tensor]:
    """The state of a module of transformers' model, from "hf-mxfp4" or "hf"."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors as dequantise

    state = {}
    for key, parameter in module.state_dict().items():
        name = f"{prefix}.{key}"
        if name == "lm_head.weight" and name not in stored:
            name = "model.embed_tokens.weight"  # they are tied
        if name + "_blocks" in stored:
            blocks, scales = stored[name + "_blocks"], stored[name + "_scales"]
            state[key] = expert_by_expert(  # by way of bfloat16, which holds MXFP4 exactly
                parameter.shape, dtype,
                lambda one: dequantise(blocks[one], scales[one], rows_per_chunk=1 << 14),
            )  # fmt: skip
        else:
            state[key] = stored[name].to(dtype)
    return state


# ---- OpenAI --------------------------------------------------------------------------------------

_HUB_MODULES = {
    "embedding": "model.embed_tokens", "norm": "model.norm", "unembedding": "lm_head",
    "attn": "self_attn", "attn.norm": "input_layernorm", "attn.out": "self_attn.o_proj",
    "mlp.norm": "post_attention_layernorm", "mlp.gate": "mlp.router",
}  # fmt: skip
_HUB_EXPERTS = {
    "mlp.mlp1_weight": "gate_up_proj", "mlp.mlp1_bias": "gate_up_proj_bias",
    "mlp.mlp2_weight": "down_proj", "mlp.mlp2_bias": "down_proj_bias",
}  # fmt: skip


def hub_names(name: str) -> list[str]:
    """Where "hf-mxfp4" has a parameter of OpenAI's model; the rows of several follow each other."""
    layer, rest = re.fullmatch(r"(?:block\.(\d+)\.)?(.*)", name).groups()
    prefix = f"model.layers.{layer}." if layer else ""
    if rest in _HUB_EXPERTS:
        return [f"{prefix}mlp.experts.{_HUB_EXPERTS[rest]}"]
    module, last = rest.rsplit(".", 1)
    if module == "attn.qkv":
        return [f"{prefix}self_attn.{x}_proj.{last}" for x in "qkv"]
    return [f"{prefix}{_HUB_MODULES[module]}.{last.replace('scale', 'weight')}"]


def openai_state(stored: Stored, module, prefix: str, dtype) -> dict[str, torch.Tensor]:
    """The state of a module of OpenAI's model, from "original" or "hf-mxfp4".

    As their loader does it, into parameters of bfloat16 (norms: float32), which are then converted.
    """
    hub = "model.embed_tokens.weight" in stored
    state = {}
    for key, parameter in module.state_dict().items():
        name = f"{prefix}.{key}"
        names = hub_names(name) if hub else [name]
        last = parameter.dtype if dtype == torch.bfloat16 else dtype
        ends = ("_blocks", "_scales") if hub else (".blocks", ".scales")
        if names[0] + ends[0] in stored:
            packed = [stored[names[0] + end] for end in ends]
            state[key] = expert_by_expert(
                parameter.shape, last, lambda one: _dequantise(packed, one)
            )  # fmt: skip
        else:
            found = [stored[n].to(parameter.dtype).to(last) for n in names]
            state[key] = found[0] if len(found) == 1 else torch.cat(found)
    return state


def _dequantise(packed: list[torch.Tensor], one: slice) -> torch.Tensor:
    """By OpenAI's code, which reads from a checkpoint: one of the two slices."""
    from gpt_oss.torch.weights import Checkpoint

    slices = {name: x[one] for name, x in zip(("blocks", "scales"), packed)}
    checkpoint = Checkpoint.__new__(Checkpoint)
    checkpoint.tensor_name_to_file = slices
    checkpoint._get_tensor = slices.__getitem__
    return checkpoint._get_mxfp4_tensor("blocks", "scales", rows_per_chunk=1 << 14)
