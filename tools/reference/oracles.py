"""The two official implementations of gpt-oss as oracles, on the CPU, file by file theirs.

Both read the checkpoint with their own loaders, so that the order of nibbles, the meaning of scales
and the transpositions are theirs. Nothing of their arithmetic is patched, but for float64, which
neither has: transformers is asked for a type and eager attention, OpenAI's module is loaded as
always, in bfloat16, and then converted, which every operation in it follows.

With `stream` one layer at a time is in memory: modules, masks and dequantisers are theirs as ever,
only the order of loading is ours. The results are the same, bit for bit.
"""

import importlib.metadata
import math
import os
import sys

import numpy as np
import torch

import loading
import stages

PACKAGES = {
    "transformers": ["torch", "transformers", "safetensors"],
    "openai": ["torch", "gpt-oss", "safetensors"],
}


def versions(oracle: str) -> dict[str, str]:
    """Of what computes a result."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES[oracle]}
    return found | {"python": sys.version.split()[0]}


class _Oracle:
    @torch.inference_mode()
    def observe(self, ids: list[int], sink) -> None:
        """Runs the tokens; the sink is shown every stage."""
        with self.observer(self.model, sink, len(ids)):
            self._forward(ids)

    def run(self, ids: list[int], wanted=("embedding", "residual", "logits")):
        """Stages as arrays, by the names of a dump: "hidden.L", "logits", "layers.L.q"."""
        sink = stages.Collector(wanted)
        self.observe(ids, sink)
        return sink.tensors()


# ---- transformers --------------------------------------------------------------------------------


class Transformers(_Oracle):
    """transformers' GptOssForCausalLM, on the layouts "hf-mxfp4" and "hf"."""

    name, package, dtypes = "transformers", "transformers", ["float32", "bfloat16"]
    observer = stages.TransformersObserver

    def __init__(self, directory, dtype: str = "float32", stream: bool = False, first_layers=None):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        if "model_type" not in loading.read_config(directory):
            raise loading.Unsuitable(f"{directory} is not in a layout of Hugging Face's")
        self._dtype = getattr(torch, dtype)
        if stream:
            self.model = self._skeleton(directory)
        else:
            self.model, told = transformers.GptOssForCausalLM.from_pretrained(
                directory, dtype=self._dtype, attn_implementation="eager",
                experts_implementation="eager", output_loading_info=True,
            )  # fmt: skip
            if told["missing_keys"]:  # which it would make up
                name = min(told["missing_keys"])
                raise loading.Unsuitable(f"the checkpoint has no tensor {name}")
            self.model.eval()
            for name, weight in self.model.named_parameters():
                assert weight.dtype == self._dtype, f"{name} was loaded as {weight.dtype}"
        self.model.model.layers = self.model.model.layers[:first_layers]
        config = self.model.config
        self.shape = stages.Shape(
            len(self.model.model.layers), config.hidden_size, config.intermediate_size,
            config.vocab_size, config.num_attention_heads, config.num_key_value_heads,
            config.head_dim, config.num_local_experts, config.num_experts_per_tok,
        )  # fmt: skip

    def _forward(self, ids: list[int]) -> None:
        self.model(torch.tensor([ids]), use_cache=False)

    @torch.inference_mode()
    def greedy(self, ids: list[int], count: int) -> list[int]:
        """The `count` tokens after `ids`, by generate() with its cache; end tokens are ignored.

        With a window of 1 the cache of transformers 5.23 keeps `states[-0:]`, which is all of them
        instead of none, and differs from its own full forward pass: then it is left out.
        """
        self.model.generation_config.eos_token_id = None
        prompt = torch.tensor([ids])
        made = self.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, pad_token_id=0,
            max_new_tokens=count, min_new_tokens=count,
            use_cache=self.model.config.sliding_window != 1,
        )  # fmt: skip
        return made[0, len(ids) :].tolist()

    def _skeleton(self, directory):
        """The modules without weights, which come when they run."""
        import transformers
        from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRotaryEmbedding

        config = transformers.AutoConfig.from_pretrained(directory)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        config._attn_implementation = "eager"
        config._experts_implementation = "eager"
        with torch.device("meta"):
            model = transformers.GptOssForCausalLM(config).eval()
        inner = model.model
        inner.rotary_emb = GptOssRotaryEmbedding(config)
        pieces = {f"model.layers.{i}": layer for i, layer in enumerate(inner.layers)}
        pieces |= {"model.embed_tokens": inner.embed_tokens, "model.norm": inner.norm}
        stored = loading.Stored(directory)
        for prefix, piece in (pieces | {"lm_head": model.lm_head}).items():
            loading.load_while_running(
                piece,
                lambda m=piece, p=prefix: loading.transformers_state(stored, m, p, self._dtype),
            )
        return model


# ---- OpenAI --------------------------------------------------------------------------------------

GATHER_BYTES = 2_500_000_000  # of expert weights that an MLP block copies at once, about
MLP_SLICE = 32  # tokens at most
LEAST_SLICE = 2  # torch multiplies the matrices of a batch of one in another way, with other bits


class OpenAI(_Oracle):
    """OpenAI's torch model, on the layout "original" and, by renaming, "hf-mxfp4". It has no cache.

    Its MLP block copies the weights of its experts for every token, 400 MB in float32 at the
    published width: it sees at most `mlp_slice` tokens at once.
    """

    name, package, dtypes = "openai", "gpt-oss", ["float32", "bfloat16", "float64"]
    observer = stages.OpenAIObserver

    def __init__(
        self, directory, dtype: str = "float32", stream: bool = False, first_layers=None,
        mlp_slice: int | None = None,
    ):  # fmt: skip
        from gpt_oss.torch.model import Transformer

        kind = getattr(torch, dtype)
        config = loading.read_config(directory)
        if stream or "model_type" in config:
            self.model = self._skeleton(directory, config, kind, stream)
        else:
            self.model = Transformer.from_checkpoint(directory, device="cpu")
            if kind != torch.bfloat16:
                self.model.to(kind)
        self.model.block = self.model.block[:first_layers]
        if kind == torch.float64:
            _widen(self.model)
        self.shape = self._measure()
        row = 3 * self.shape.intermediate * self.shape.hidden * self.shape.experts_per_token
        fitting = min(MLP_SLICE, GATHER_BYTES // (row * kind.itemsize))
        for block in self.model.block:
            _slice_mlp(block.mlp, max(LEAST_SLICE, mlp_slice or fitting))

    def _forward(self, ids: list[int]) -> None:
        self.model(torch.tensor(ids))

    def greedy(self, ids: list[int], count: int) -> list[int]:
        tokens = list(ids)
        for _ in range(count):
            tokens.append(int(self.run(tokens, ["logits"])["logits"][-1].argmax()))
        return tokens[len(ids) :]

    def _measure(self) -> stages.Shape:
        attention, mlp = self.model.block[0].attn, self.model.block[0].mlp
        vocab, hidden = self.model.embedding.weight.shape
        return stages.Shape(
            len(self.model.block), hidden, mlp.mlp2_weight.shape[-1], vocab,
            attention.num_attention_heads, attention.num_key_value_heads, attention.head_dim,
            mlp.num_experts, mlp.experts_per_token,
        )  # fmt: skip

    def _skeleton(self, directory, config: dict, dtype, stream: bool):
        """The modules, with their weights or without, which then come when they run."""
        from gpt_oss.torch.model import ModelConfig, Transformer

        config = _openai_config(config) if "model_type" in config else config
        with torch.device("meta"):
            model = Transformer(ModelConfig(**config)).eval()
        stored = loading.Stored(directory)
        pieces = {f"block.{i}": block for i, block in enumerate(model.block)}
        pieces |= {"embedding": model.embedding, "norm": model.norm}
        for prefix, piece in (pieces | {"unembedding": model.unembedding}).items():
            load = lambda m=piece, p=prefix: loading.openai_state(stored, m, p, dtype)  # noqa: E731
            if stream:
                loading.load_while_running(piece, load)
            else:
                piece.load_state_dict(load(), assign=True)
        return model


def _openai_config(config: dict) -> dict:
    """Hugging Face's config.json in OpenAI's words, where OpenAI's model has words for it."""
    rope = config.get("rope_parameters") or config["rope_scaling"] | {
        "rope_theta": config["rope_theta"]
    }
    layers = config["num_hidden_layers"]
    needed = {
        "rms_norm_eps": 1e-5, "swiglu_alpha": 1.702, "attention_bias": True,
        "tie_word_embeddings": False,
        "layer_types": [("sliding_attention", "full_attention")[i % 2] for i in range(layers)],
    }  # fmt: skip
    other = [key for key, value in needed.items() if config.get(key, value) != value]
    if rope["rope_type"] != "yarn" or rope.get("truncate", True):
        other.append("truncate")
    if other or "quantization_config" not in config:
        what = ", ".join(other) or "unquantised experts"
        raise loading.Unsuitable(f"OpenAI's model cannot do what config.json says: {what}")
    return {
        "num_hidden_layers": layers,
        "num_experts": config["num_local_experts"],
        "experts_per_token": config["num_experts_per_tok"],
        "vocab_size": config["vocab_size"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["intermediate_size"],
        "swiglu_limit": config.get("swiglu_limit", 7.0),
        "head_dim": config["head_dim"],
        "num_attention_heads": config["num_attention_heads"],
        "num_key_value_heads": config["num_key_value_heads"],
        "sliding_window": config["sliding_window"],
        "initial_context_length": rope["original_max_position_embeddings"],
        "rope_theta": rope["rope_theta"],
        "rope_scaling_factor": rope["factor"],
        "rope_ntk_alpha": rope["beta_slow"],
        "rope_ntk_beta": rope["beta_fast"],
    }


class _Given(torch.nn.Module):
    """Puts out what it was made with."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


def _slice_mlp(mlp, most: int) -> None:
    """Lets an MLP block see about so many tokens at once, never one of several alone.

    Norm and router run over all of them, as ever: the bits of a matrix product depend on its shape.
    What follows is a batch of products, one for each token, whose bits do not.
    """
    whole = mlp.forward

    def forward(x):
        norm, gate = mlp.norm, mlp.gate
        t = norm(x)
        g = gate(t)
        parts = []
        try:
            slices = max(1, min(math.ceil(len(x) / most), len(x) // LEAST_SLICE))
            for rows in torch.arange(len(x)).tensor_split(slices):
                mlp.norm, mlp.gate = _Given(t[rows]), _Given(g[rows])
                parts.append(whole(x[rows]))
        finally:
            mlp.norm, mlp.gate = norm, gate
        return torch.cat(parts)

    mlp.forward = forward


FLOAT64 = (
    "float64 throughout: RMSNorm without its cast to float32, the rotary embedding with float64 "
    "wherever it asks for float32"
)


def _widen(model) -> None:
    """float64 in the two places where OpenAI's code asks for float32."""
    from gpt_oss.torch import model as source

    class WideNorm(source.RMSNorm):
        def forward(self, x):
            return x * torch.rsqrt(torch.mean(x**2, dim=-1, keepdim=True) + self.eps) * self.scale

    class WideRotary(source.RotaryEmbedding):
        def _compute_cos_sin(self, num_tokens: int):
            wide = stages.Overlay(torch, float=torch.float64, float32=torch.float64)
            narrow, source.torch = source.torch, wide
            try:
                return super()._compute_cos_sin(num_tokens)
            finally:
                source.torch = narrow

    for module in model.modules():
        wide = {source.RMSNorm: WideNorm, source.RotaryEmbedding: WideRotary}.get(type(module))
        module.__class__ = wide or type(module)


def nmse(got: np.ndarray, wanted: np.ndarray) -> float:
    """Squared error over squared truth, in double precision."""
    difference = got.astype(np.float64) - wanted
    return float((difference**2).sum() / (wanted.astype(np.float64) ** 2).sum())


BACKENDS = {"transformers": Transformers, "openai": OpenAI}
