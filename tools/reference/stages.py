"""The stages of a forward pass, and where the official implementations show them.

A stage is a value on the way through the model; its names are those of `gptoss dump`. An observer
watches one run of an official model: hooks on its modules, and stand-ins for a few names of its
source file that hand on every call unchanged and look at what goes in and out. What it sees goes to
a sink, which has two methods:

    wants(stage, layer) -> bool
    put(stage, layer, rows, first_row)      rows: [tokens, ...] of the stage, from a token on

Nothing is computed again but "expert_out" of transformers, by the expression of its source on the
operands that were seen there.
"""

import contextlib
import dataclasses

import numpy as np
import torch


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    intermediate: int
    vocab: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    experts_per_token: int

    def columns(self, stage: str) -> tuple[int, ...]:
        """The shape of one token's row."""
        chosen = self.experts_per_token
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        other = {
            "q": (queries,), "k": (keys,), "v": (keys,), "q_rotary": (queries,),
            "k_rotary": (keys,), "sink_mass": (self.heads,), "attention": (queries,),
            "router": (self.experts,), "experts": (chosen,), "routing_weights": (chosen,),
            "gate_up": (chosen, 2 * self.intermediate), "activated": (chosen, self.intermediate),
            "expert_out": (chosen, self.hidden), "logits": (self.vocab,),
        }  # fmt: skip
        return other.get(stage, (self.hidden,))


# In order of computation. All but the first and the last two exist once per layer.
STAGES = [
    "embedding", "attention_norm", "q", "k", "v", "q_rotary", "k_rotary", "sink_mass", "attention",
    "attention_out", "attention_residual", "mlp_norm", "router", "experts", "routing_weights",
    "gate_up", "activated", "expert_out", "combined", "residual", "final_norm", "logits",
]  # fmt: skip
OUTSIDE = ["embedding", "final_norm", "logits"]


def tensor_name(stage: str, layer: int) -> str:
    """hidden.0 is the embedding, hidden.N the residual after N layers."""
    if stage in ("embedding", "residual"):
        return f"hidden.{0 if stage == 'embedding' else layer + 1}"
    return stage if stage in OUTSIDE else f"layers.{layer}.{stage}"


class Collector:
    """A sink that keeps stages as arrays by their names; bfloat16 widened to float32."""

    def __init__(self, stages: list[str]):
        self.stages = stages
        self.pieces = {}

    def wants(self, stage: str, layer: int) -> bool:
        return stage in self.stages

    def put(self, stage: str, layer: int, rows: torch.Tensor, first_row: int) -> None:
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows
        self.pieces.setdefault(tensor_name(stage, layer), []).append(rows.numpy().copy())

    def tensors(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(pieces) for name, pieces in self.pieces.items()}


# ---- what both observers need --------------------------------------------------------------------


class Overlay:
    """A module of which some names are others."""

    def __init__(self, module, **names):
        self.__dict__.update(names, _module=module)

    def __getattr__(self, name: str):
        return getattr(self._module, name)


class _Observer(contextlib.ExitStack):
    """Watches from `with` to its end. `layer` is the one that runs."""

    def __init__(self, sink, tokens: int):
        super().__init__()
        self._sink = sink
        self._tokens = tokens
        self._layer = 0

    def _put(self, stage: str, x: torch.Tensor, first_row: int = 0) -> None:
        if self._sink.wants(stage, self._layer):
            self._sink.put(stage, self._layer, x, first_row)

    def _flat(self, stage: str, x: torch.Tensor) -> None:
        self._put(stage, x.reshape(self._tokens, -1))

    def _on_input(self, module, look) -> None:
        hook = module.register_forward_pre_hook(lambda _, inputs: look(inputs[0]))
        self.callback(hook.remove)

    def _on_output(self, module, look) -> None:
        hook = module.register_forward_hook(lambda _, inputs, output: look(output))
        self.callback(hook.remove)

    def _stage_on_output(self, module, stage: str) -> None:
        self._on_output(module, lambda x: self._flat(stage, x))

    def _enter_layers(self, layers) -> None:
        for index, layer in enumerate(layers):
            self._on_input(layer, lambda _, index=index: setattr(self, "_layer", index))

    def _replace(self, owner, name: str, value) -> None:
        self.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)


# ---- transformers --------------------------------------------------------------------------------


class TransformersObserver(_Observer):
    """transformers' GptOssForCausalLM with eager attention and eager experts, one prompt."""

    def __init__(self, model, sink, tokens: int):
        from transformers.models.gpt_oss import modeling_gpt_oss as source

        super().__init__(sink, tokens)
        inner = model.model
        self._stage_on_output(inner.embed_tokens, "embedding")
        self._enter_layers(inner.layers)
        for layer in inner.layers:
            self._watch_layer(layer)
        self._stage_on_output(inner.norm, "final_norm")
        self._stage_on_output(model.lm_head, "logits")

        self._attention, self._functional = source.eager_attention_forward, source.F
        self._replace(source, "eager_attention_forward", self._see_attention)
        self._replace(source, "F", Overlay(source.F, softmax=self._see_softmax))

    def _watch_layer(self, layer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._stage_on_output(layer.input_layernorm, "attention_norm")
        for stage in "qkv":
            self._stage_on_output(getattr(attention, stage + "_proj"), stage)
        self._on_input(attention.o_proj, lambda x: self._flat("attention", x))
        self._stage_on_output(attention.o_proj, "attention_out")
        self._on_input(
            layer.post_attention_layernorm, lambda x: self._flat("attention_residual", x)
        )
        self._stage_on_output(layer.post_attention_layernorm, "mlp_norm")
        self._on_output(mlp.router, self._see_router)
        self._stage_on_output(mlp.experts, "combined")
        self._watch_gate(mlp.experts)
        self._on_output(mlp.experts, lambda _: self._end_experts())
        self._on_output(layer, lambda x: self._flat("residual", x))

    def _see_attention(self, module, query, key, *rest, **named):
        self._flat("q_rotary", query[0].transpose(0, 1))  # [1, heads, tokens, head_dim]
        self._flat("k_rotary", key[0].transpose(0, 1))
        return self._attention(module, query, key, *rest, **named)

    def _see_softmax(self, scores, *rest, **named):
        found = self._functional.softmax(scores, *rest, **named)  # [1, heads, tokens, keys + 1]
        self._put("sink_mass", found[0, :, :, -1].T)
        return found

    def _see_router(self, output) -> None:
        logits, weights, ids = output
        self._put("router", logits)
        self._put("experts", ids)
        self._put("routing_weights", weights)
        self._chosen = ids
        self._hit = iter(ids.unique().tolist())  # ascending, as the loop over experts goes
        self._per_expert = {}

    def _watch_gate(self, experts) -> None:
        gate = experts._apply_gate
        self.callback(delattr, experts, "_apply_gate")
        experts._apply_gate = lambda gate_up: self._see_gate(experts, gate, gate_up)

    def _see_gate(self, experts, gate, gate_up):
        """One expert's tokens: first those that have it in place 0, then 1, ..."""
        activated = gate(gate_up)
        expert = next(self._hit)
        place, token = torch.where(self._chosen.T == expert)
        self._scatter("gate_up", token, place, lambda: gate_up)
        self._scatter("activated", token, place, lambda: activated)
        self._scatter(
            "expert_out", token, place,
            lambda: activated @ experts.down_proj[expert] + experts.down_proj_bias[expert],
        )  # fmt: skip
        return activated

    def _scatter(self, stage: str, token, place, compute) -> None:
        if not self._sink.wants(stage, self._layer):
            return
        rows = compute()
        if stage not in self._per_expert:
            self._per_expert[stage] = rows.new_empty(*self._chosen.shape, rows.shape[-1])
        self._per_expert[stage][token, place] = rows

    def _end_experts(self) -> None:
        for stage, x in self._per_expert.items():
            self._put(stage, x)
        self._per_expert = {}


# ---- OpenAI --------------------------------------------------------------------------------------


class OpenAIObserver(_Observer):
    """OpenAI's Transformer. Its MLP may be called with some tokens at a time, in order."""

    def __init__(self, model, sink, tokens: int):
        from gpt_oss.torch import model as source

        super().__init__(sink, tokens)
        self._first_row = 0
        self._stage_on_output(model.embedding, "embedding")
        self._enter_layers(model.block)
        for block in model.block:
            self._watch_attention(block.attn)
            self._stage_on_output(block.attn, "attention_residual")
            self._stage_on_output(block.mlp.norm, "mlp_norm")
            self._stage_on_output(block.mlp.gate, "router")
            self._stage_on_output(block, "residual")
        self._stage_on_output(model.norm, "final_norm")
        self._stage_on_output(model.unembedding, "logits")

        self._swiglu = source.swiglu
        self._replace(source, "swiglu", self._see_swiglu)
        overlay = Overlay(
            torch, softmax=self._see_softmax, topk=self._see_topk, einsum=self._see_einsum
        )
        self._replace(source, "torch", overlay)

    def _watch_attention(self, attention) -> None:
        queries = attention.num_attention_heads * attention.head_dim
        keys = attention.num_key_value_heads * attention.head_dim

        def see_qkv(qkv) -> None:
            for stage, x in zip("qkv", qkv.split([queries, keys, keys], dim=-1)):
                self._put(stage, x)

        def see_rotary(rotated) -> None:
            self._flat("q_rotary", rotated[0])
            self._flat("k_rotary", rotated[1])

        self._stage_on_output(attention.norm, "attention_norm")
        self._on_output(attention.qkv, see_qkv)
        self._on_output(attention.rope, see_rotary)
        self._on_input(attention.out, lambda x: self._flat("attention", x))
        self._stage_on_output(attention.out, "attention_out")

    def _see_softmax(self, scores, *rest, **named):
        found = torch.softmax(scores, *rest, **named)  # [kv_heads, group, tokens, keys + 1]
        self._put("sink_mass", found[..., -1].flatten(0, 1).T)
        return found

    def _see_topk(self, logits, *rest, **named):
        found = torch.topk(logits, *rest, **named)
        self._put("experts", found.indices, self._first_row)
        return found

    def _see_swiglu(self, gate_up, *rest, **named):
        activated = self._swiglu(gate_up, *rest, **named)
        self._put("gate_up", gate_up, self._first_row)
        self._put("activated", activated, self._first_row)
        return activated

    def _see_einsum(self, equation: str, *operands):
        found = torch.einsum(equation, *operands)
        if equation == "bec,be->bc":  # the weighted sum of the experts, the MLP's last
            self._put("routing_weights", operands[1], self._first_row)
            self._put("expert_out", operands[0], self._first_row)
            self._put("combined", found, self._first_row)
            self._first_row = (self._first_row + len(found)) % self._tokens
        return found
