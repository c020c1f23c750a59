"""Writes the HF folder: config, generation defaults, tokenizer, MXFP4 weights; reads it back."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GptOssForCausalLM, Mxfp4Config

from .mxfp4 import pack, stored
from .tokenizer import write_tokenizer

NOT_QUANTISED = [
    "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
]  # fmt: skip


def config_json(model: GptOssForCausalLM) -> dict:
    """The published spelling of config.json (rope_scaling, both names of top-k)."""
    c = model.config
    rope = dict(c.rope_parameters)
    theta = rope.pop("rope_theta")
    keys = [
        "attention_bias", "attention_dropout", "eos_token_id", "head_dim", "hidden_act",
        "hidden_size", "initializer_range", "intermediate_size", "layer_types",
        "max_position_embeddings", "num_attention_heads", "num_experts_per_tok",
        "num_hidden_layers", "num_key_value_heads", "num_local_experts", "output_router_logits",
        "pad_token_id", "rms_norm_eps", "router_aux_loss_coef", "sliding_window", "swiglu_limit",
        "tie_word_embeddings", "use_cache", "vocab_size",
    ]  # fmt: skip
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": NOT_QUANTISED}
    return {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "dtype": "bfloat16",
        **{k: getattr(c, k) for k in keys},
        "experts_per_token": c.num_experts_per_tok,
        "initial_context_length": rope["original_max_position_embeddings"],
        "rope_theta": theta, "rope_scaling": rope, "quantization_config": quantization,
    }  # fmt: skip


def export(model: GptOssForCausalLM, tokenizer, folder: Path) -> None:
    """Writes everything but the README; the weights are packed from the float32 parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, weight in model.state_dict().items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            tensors[name + "_blocks"], tensors[name + "_scales"] = pack(weight)
        else:
            tensors[name] = weight.bfloat16().contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = dict(sorted(config_json(model).items()))
    stops = ["<|return|>", "<|endoftext|>", "<|call|>"]
    generation = {
        "bos_token_id": tokenizer.token_to_id("<|startoftext|>"), "do_sample": True,
        "eos_token_id": [tokenizer.token_to_id(s) for s in stops],
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"), "temperature": 0.8, "top_p": 0.95,
    }  # fmt: skip
    for name, value in [("config.json", config), ("generation_config.json", generation)]:
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")
    write_tokenizer(tokenizer, folder)


def load(folder: Path) -> GptOssForCausalLM:
    """Stock transformers: its own MXFP4 dequantiser, then float32 and eager attention."""
    model = GptOssForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        quantization_config=Mxfp4Config(dequantize=True),
    )  # fmt: skip
    return model.float().eval()


@torch.no_grad()
def check(model: GptOssForCausalLM, folder: Path) -> float:
    """The folder, loaded by transformers, must compute what the fake-quantised model computes."""
    loaded = load(folder)
    expected = stored(dict(model.named_parameters()))
    found = dict(loaded.named_parameters())
    for name, value in expected.items():
        assert torch.equal(found[name], value), f"{name} does not survive the export"
    ids = torch.randint(0, model.config.vocab_size, (1, 300))
    reference = torch.func.functional_call(model, expected, (ids,)).logits
    difference = (loaded(ids).logits - reference).abs().max().item()
    assert difference <= 1e-5 * reference.abs().max().item(), difference
    return difference
