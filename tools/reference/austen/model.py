"""The official class as parameter store, and a faster training forward over the same parameters.

transformers' eager forward materialises T x T scores in sliding layers too and walks the experts
with index_add. `TrainingForward` computes the same function blockwise, with the tokens sorted by
expert, and with dropout. `check` compares both and runs before each training.
"""

import torch
import torch.nn.functional as F
from transformers import GptOssConfig, GptOssForCausalLM

QUERY_BLOCK = 128


def make_config(tokenizer, layers: int) -> GptOssConfig:
    """The architecture of models/austen: GQA, alternating windows, 8 experts top-2, YaRN x 4."""
    return GptOssConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=256, intermediate_size=256,
        num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=4, head_dim=32,
        num_local_experts=8, num_experts_per_tok=2, sliding_window=64,
        max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=False,
        attention_bias=True, router_aux_loss_coef=0.01, swiglu_limit=7.0,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 32.0,
            "beta_slow": 1.0, "original_max_position_embeddings": 512, "truncate": False,
        },
        layer_types=["sliding_attention", "full_attention"] * (layers // 2),
        bos_token_id=tokenizer.token_to_id("<|startoftext|>"),
        eos_token_id=tokenizer.token_to_id("<|return|>"),
        pad_token_id=tokenizer.token_to_id("<|endoftext|>"),
        attn_implementation="eager", experts_implementation="eager",
    )  # fmt: skip


def make_model(config: GptOssConfig) -> GptOssForCausalLM:
    """Builds the official class with our initialisation: every matrix at its fan-in scale."""
    model = GptOssForCausalLM(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("_proj") or name.endswith("proj.weight"):
                fan_in = weight.shape[-2] if weight.dim() == 3 else weight.shape[-1]
                weight.normal_(0, 0.5 * fan_in**-0.5)
            elif "embed_tokens" in name:
                weight.normal_(0, 0.5)
            elif name.endswith(("bias", "sinks")):
                weight.zero_()
    return model


def matrices(model: GptOssForCausalLM) -> list[str]:
    """Names of the parameters that Muon updates: attention and expert matrices."""
    return [n for n, p in model.named_parameters() if n.endswith(("_proj", "proj.weight"))]


class TrainingForward:
    """Loss of GptOssForCausalLM for whole sequences from position 0, without padding."""

    def __init__(self, model: GptOssForCausalLM):
        self.config = model.config
        self.inv_freq = model.model.rotary_emb.inv_freq
        self.rope_scale = model.model.rotary_emb.attention_scaling
        self.tables: dict[int, tuple] = {}

    def rope_tables(self, length: int) -> tuple:
        """Cosine and sine, [length, head_dim/2], computed once per length."""
        if length not in self.tables:
            angle = torch.arange(length).float()[:, None] * self.inv_freq
            self.tables[length] = (angle.cos() * self.rope_scale, angle.sin() * self.rope_scale)
        return self.tables[length]

    def logits(self, w: dict, ids: torch.Tensor, drop=lambda x: x) -> tuple:
        """Returns (logits [B*T, V], load-balancing loss).

        `w` maps parameter names to tensors; `drop` is applied to what enters the residual stream.
        """
        eps = self.config.rms_norm_eps
        batch, length = ids.shape
        x = F.embedding(ids.reshape(-1), w["model.embed_tokens.weight"])
        x = drop(x)
        balance = x.new_zeros(())
        for i, layer_type in enumerate(self.config.layer_types):
            p = {n: w[f"model.layers.{i}.{n}"] for n in LAYER_NAMES}
            window = self.config.sliding_window if "sliding" in layer_type else length
            t = F.rms_norm(x, x.shape[-1:], p["input_layernorm.weight"], eps)
            x = x + drop(self.attention(p, t, batch, window))
            t = F.rms_norm(x, x.shape[-1:], p["post_attention_layernorm.weight"], eps)
            out, layer_balance = self.mixture(p, t)
            x = x + drop(out)
            balance = balance + layer_balance
        x = F.rms_norm(x, x.shape[-1:], w["model.norm.weight"], eps)
        return x @ w["lm_head.weight"].T, balance / len(self.config.layer_types)

    def attention(self, p: dict, x: torch.Tensor, batch: int, window: int) -> torch.Tensor:
        """Sink attention over blocks of queries; a block reads only the keys it can see."""
        c, length = self.config, x.shape[0] // batch
        groups, dim = c.num_attention_heads // c.num_key_value_heads, c.head_dim
        cos, sin = self.rope_tables(length)

        def heads(name: str, rotate: bool) -> torch.Tensor:  # [B, heads, T, D]
            y = F.linear(x, p[f"self_attn.{name}.weight"], p[f"self_attn.{name}.bias"])
            y = y.view(batch, length, -1, dim).transpose(1, 2)
            if rotate:
                a, b = y.chunk(2, -1)
                y = torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
            return y

        q = heads("q_proj", True) * dim**-0.5
        q = q.view(batch, c.num_key_value_heads, groups, length, dim)
        k, v = heads("k_proj", True).transpose(2, 3), heads("v_proj", False)
        sinks = p["self_attn.sinks"].view(1, c.num_key_value_heads, groups, 1, 1)
        outputs = []
        for start in range(0, length, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, length)
            first = max(0, start - window + 1)
            block = q[:, :, :, start:stop]
            rows = stop - start
            s = block.reshape(batch, -1, groups * rows, dim) @ k[..., first:stop]
            s = s.view(batch, -1, groups, rows, stop - first)
            s = s + visible(start, stop, first, window)
            top = torch.maximum(s.detach().amax(-1, keepdim=True), sinks.detach())
            e = (s - top).exp()
            norm = e.sum(-1, keepdim=True) + (sinks - top).exp()
            o = e.view(batch, -1, groups * rows, stop - first) @ v[:, :, first:stop]
            outputs.append(o.view(batch, -1, groups, rows, dim) / norm)
        o = torch.cat(outputs, 3).view(batch, -1, length, dim).transpose(1, 2)
        o = o.reshape(batch * length, -1)
        return F.linear(o, p["self_attn.o_proj.weight"], p["self_attn.o_proj.bias"])

    def mixture(self, p: dict, x: torch.Tensor) -> tuple:
        """Top-k experts over tokens sorted by expert; also Switch's load-balancing loss."""
        c = self.config
        experts, top_k, hidden = c.num_local_experts, c.num_experts_per_tok, c.hidden_size
        scores = F.linear(x, p["mlp.router.weight"], p["mlp.router.bias"])
        value, index = scores.topk(top_k, -1)
        weight = value.softmax(-1)
        order = index.view(-1).argsort(stable=True)
        counts = torch.bincount(index.view(-1), minlength=experts)
        sizes = counts.tolist()
        # Rows 2i, 2i+1 are gate and up of unit i: regrouped here, so that both halves are dense.
        gate_up = p["mlp.experts.gate_up_proj"].view(experts, hidden, -1, 2)
        gate_up = gate_up.transpose(2, 3).reshape(experts, hidden, -1)
        bias = p["mlp.experts.gate_up_proj_bias"].view(experts, -1, 2).transpose(1, 2).flatten(1)
        rows = RowGather.apply(x, order, top_k).split(sizes)
        gated = []
        for e, row in enumerate(rows):
            gated.append(swiglu(torch.addmm(bias[e], row, gate_up[e]), c.swiglu_limit))
        down, down_bias = p["mlp.experts.down_proj"], p["mlp.experts.down_proj_bias"]
        out = torch.cat([torch.addmm(down_bias[e], g, down[e]) for e, g in enumerate(gated)])
        out = Permute.apply(out, order).view(-1, top_k, hidden)
        out = torch.bmm(weight.unsqueeze(1), out).squeeze(1)
        share = counts / x.shape[0]
        return out, experts * (share * scores.softmax(-1).mean(0)).sum()


class RowGather(torch.autograd.Function):
    """Rows of x repeated top_k times and permuted; the gradient is a gather too, no index_add."""

    @staticmethod
    def forward(ctx, x, order, top_k):
        ctx.save_for_backward(order)
        ctx.top_k = top_k
        return x[order // top_k]

    @staticmethod
    def backward(ctx, grad):
        (order,) = ctx.saved_tensors
        back = torch.empty_like(order)
        back[order] = torch.arange(order.numel())
        return grad[back].view(-1, ctx.top_k, grad.shape[-1]).sum(1), None, None


class Permute(torch.autograd.Function):
    """Undoes the sort by expert; again the gradient is a plain gather."""

    @staticmethod
    def forward(ctx, x, order):
        ctx.save_for_backward(order)
        back = torch.empty_like(order)
        back[order] = torch.arange(order.numel())
        return x[back]

    @staticmethod
    def backward(ctx, grad):
        (order,) = ctx.saved_tensors
        return grad[order], None


def swiglu(h: torch.Tensor, limit: float) -> torch.Tensor:
    """Clamped SwiGLU of gpt-oss; h holds the gates, then the ups."""
    gate, up = h.chunk(2, -1)
    gate = gate.clamp(max=limit)
    up = up.clamp(-limit, limit)
    return (up + 1) * gate * torch.sigmoid(1.702 * gate)


def visible(start: int, stop: int, first: int, window: int) -> torch.Tensor:
    """Additive mask [stop-start, stop-first]: key j is seen by t when t-window < j <= t."""
    t = torch.arange(start, stop)[:, None]
    j = torch.arange(first, stop)[None, :]
    hidden = (j > t) | (j <= t - window)
    return torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)


class Dropout:
    """One random byte per value, eight values per draw: p in steps of 1/256, and cheap."""

    def __init__(self, p: float, seed: int):
        self.below = round(256 * p)
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        draw = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        draw.random_(-(2**63), 2**63 - 1, generator=self.random)
        keep = (draw.view(torch.uint8)[: x.numel()] >= self.below).view(x.shape)
        return x * keep.to(x.dtype).mul_(256 / (256 - self.below))


LAYER_NAMES = [
    "input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.sinks",
    *[f"self_attn.{n}_proj.{k}" for n in "qkvo" for k in ("weight", "bias")],
    "mlp.router.weight", "mlp.router.bias",
    *[f"mlp.experts.{n}_proj{k}" for n in ("gate_up", "down") for k in ("", "_bias")],
]  # fmt: skip


@torch.no_grad()
def check(model: GptOssForCausalLM) -> float:
    """Largest difference of logits between the class's own forward and ours, 300 tokens."""
    ids = torch.randint(0, model.config.vocab_size, (2, 300))
    ours, _ = TrainingForward(model).logits(dict(model.named_parameters()), ids)
    theirs = model(ids).logits.view_as(ours)
    difference = (ours - theirs).abs().max().item()
    assert difference <= 2e-5 * max(1.0, theirs.abs().max().item()), difference
    return difference
