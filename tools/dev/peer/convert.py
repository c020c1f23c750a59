"""Writes a checkpoint as GGUF with the same weights, a piece at a time.

MXFP4 keeps its codes and scales, only their order changes. A group of 32 is, stored and in GGUF:

    bytes     0       1            15         scale byte in a tensor of its own
    low       e0      e2     ...   e30
    high      e1      e3     ...   e31

    bytes     0       1       2          16
    low       scale   e0      e1   ...   e15
    high              e16     e17  ...   e31

Norms, biases, sinks and the router widen to float32. The other matrices stay BF16, or are quantised
to q8_0: 32 int8 beside a float16 scale.
"""

import dataclasses
import itertools
import os
import string
from collections.abc import Callable, Iterator

import gguf
import numpy as np

from checkpoint import Checkpoint, Fault, widen

TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "mxfp4": gguf.GGMLQuantizationType.MXFP4,
}
PIECE = 1 << 22  # elements of a matrix in memory at a time
IDENTITY = "compare-peer.checkpoint"
WORD_LETTERS = 4
BYTES = 256  # ids of a GGUF vocabulary that are single bytes


@dataclasses.dataclass
class Tensor:
    """What GGUFWriter asks of a tensor, with the data made only while it is written."""

    name: str
    shape: tuple[int, ...]
    type: str
    pieces: Callable[[], Iterator[np.ndarray]]

    @property
    def nbytes(self) -> int:
        elements, size = gguf.GGML_QUANT_SIZES[TYPES[self.type]]
        return int(np.prod(self.shape, dtype=np.int64)) // elements * size

    def tofile(self, out) -> None:
        for piece in self.pieces():
            np.ascontiguousarray(piece).tofile(out)


def repack(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """[groups, 16] and [groups] as stored -> [groups, 17], the order drawn above."""
    first, second = blocks[:, :8], blocks[:, 8:]  # of e0..e15, of e16..e31
    out = np.empty((len(blocks), 17), np.uint8)
    out[:, 0] = scales
    out[:, 1::2] = (first & 0x0F) | (second << 4)
    out[:, 2::2] = (first >> 4) | (second & 0xF0)
    return out


def vocabulary(size: int) -> list[str]:
    """Single bytes, then words of four letters. A space and a word in a text are always its id."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [chr(256 + i) for i in range(BYTES - len(plain))]
    words = map("".join, itertools.product(string.ascii_lowercase, repeat=WORD_LETTERS))
    space = rest[ord(" ")]
    names = [*map(chr, plain), *rest, *(space + word for word in itertools.islice(words, size))]
    return names[:size]


class Conversion:
    """Names, shapes and contents of the tensors of one file, in its order. Each is mapped only
    while it is written."""

    def __init__(self, source: Checkpoint, dense: str):
        self.source, self.dense = source, dense
        self.config = source.config
        self.tensors = []
        self._check()
        self._plan()

    def _check(self) -> None:
        config, layers = self.config, self.config["num_hidden_layers"]
        kinds = ["sliding_attention", "full_attention"]
        wanted = {
            "layer_types": (kinds * layers)[:layers],
            "swiglu_limit": 7.0,
            "swiglu_alpha": 1.702,
            "attention_bias": True,
        }
        for key, value in wanted.items():
            if config.get(key, value) != value:
                found = config[key]
                raise Fault(f"the peer's graph is fixed: expected {key} {value}, found {found}")

    def _vector(self, name: str, stored: Callable[[], np.ndarray], shape) -> None:
        """Small, or at least small beside a matrix: widened to float32."""
        self.tensors.append(Tensor(name, tuple(shape), "f32", lambda: iter([widen(stored())])))

    def _matrix(self, name: str, source: str) -> None:
        rows, columns = self.source[source].shape
        step = max(1, PIECE // columns)
        if self.source[source].dtype != np.uint16:
            raise Fault(f"{source}: expected BF16, found {self.source[source].dtype}")
        if self.dense == "q8_0" and columns % 32 != 0:
            raise Fault(f"{source}: q8_0 takes columns in groups of 32, found {columns}")

        def pieces():
            stored = self.source[source]
            for row in range(0, rows, step):
                piece = stored[row : row + step]
                if self.dense == "q8_0":
                    piece = gguf.quants.quantize(widen(piece), TYPES["q8_0"])
                yield piece

        self.tensors.append(Tensor(name, (rows, columns), self.dense, pieces))

    def _experts(self, name: str, source: str, rows: slice) -> None:
        """Some rows of every expert: gate and up take turns in one stored matrix."""
        blocks, scales, bias = (source + kind for kind in ("_blocks", "_scales", "_bias"))
        experts, stored_rows, groups, _ = self.source[blocks].shape
        count = len(range(stored_rows)[rows])

        def pieces():
            for codes, scale in zip(self.source[blocks], self.source[scales]):
                yield repack(codes[rows].reshape(-1, 16), scale[rows].reshape(-1))

        shape = (experts, count, groups * 32)
        self.tensors.append(Tensor(name + ".weight", shape, "mxfp4", pieces))
        self._vector(name + ".bias", lambda: self.source[bias][:, rows], shape[:2])

    def _stored_vector(self, name: str, source: str) -> None:
        self._vector(name, lambda: self.source[source], self.source[source].shape)

    def _linear(self, name: str, source: str) -> None:
        self._matrix(name + ".weight", source + ".weight")
        self._stored_vector(name + ".bias", source + ".bias")

    def _layer(self, layer: int) -> None:
        to, of = f"blk.{layer}.", f"model.layers.{layer}."
        self._stored_vector(to + "attn_norm.weight", of + "input_layernorm.weight")
        self._stored_vector(
            to + "post_attention_norm.weight", of + "post_attention_layernorm.weight"
        )
        for part in "qkv":
            self._linear(f"{to}attn_{part}", f"{of}self_attn.{part}_proj")
        self._linear(to + "attn_output", of + "self_attn.o_proj")
        self._stored_vector(to + "attn_sinks.weight", of + "self_attn.sinks")
        self._stored_vector(to + "ffn_gate_inp.weight", of + "mlp.router.weight")
        self._stored_vector(to + "ffn_gate_inp.bias", of + "mlp.router.bias")
        self._experts(to + "ffn_gate_exps", of + "mlp.experts.gate_up_proj", slice(0, None, 2))
        self._experts(to + "ffn_up_exps", of + "mlp.experts.gate_up_proj", slice(1, None, 2))
        self._experts(to + "ffn_down_exps", of + "mlp.experts.down_proj", slice(None))

    def _plan(self) -> None:
        embedding = "model.embed_tokens.weight"
        self._matrix("token_embd.weight", embedding)
        for layer in range(self.config["num_hidden_layers"]):
            self._layer(layer)
        self._stored_vector("output_norm.weight", "model.norm.weight")
        tied = self.config.get("tie_word_embeddings", False)
        self._matrix("output.weight", embedding if tied else "lm_head.weight")

    def _describe(self, out: gguf.GGUFWriter) -> None:
        config, head_dim = self.config, self.config.get("head_dim", 64)
        out.add_name(self.source.directory.name)
        out.add_block_count(config["num_hidden_layers"])
        out.add_context_length(config.get("max_position_embeddings", 131072))
        out.add_embedding_length(config["hidden_size"])
        out.add_feed_forward_length(config["intermediate_size"])
        out.add_expert_feed_forward_length(config["intermediate_size"])
        out.add_head_count(config["num_attention_heads"])
        out.add_head_count_kv(config["num_key_value_heads"])
        out.add_key_length(head_dim)
        out.add_value_length(head_dim)
        out.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-5))
        out.add_expert_count(config["num_local_experts"])
        out.add_expert_used_count(config["num_experts_per_tok"])
        out.add_sliding_window(config["sliding_window"])
        self._describe_rope(out, head_dim)
        out.add_file_type(gguf.LlamaFileType.MOSTLY_MXFP4_MOE)
        out.add_quantization_version(gguf.GGML_QUANT_VERSION)

    def _describe_rope(self, out: gguf.GGUFWriter, head_dim: int) -> None:
        rope = self.source.rope
        out.add_rope_dimension_count(head_dim)
        out.add_rope_freq_base(rope["rope_theta"])
        if rope.get("rope_type", "default") != "yarn":
            return
        if "attention_factor" in rope:
            raise Fault("the peer has no attention_factor of YaRN")
        out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        out.add_rope_scaling_factor(rope["factor"])
        out.add_rope_scaling_orig_ctx_len(rope.get("original_max_position_embeddings", 4096))
        out.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast", 32.0))
        out.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow", 1.0))

    def _describe_vocabulary(self, out: gguf.GGUFWriter) -> None:
        """The pre-tokenizer llama-bpe takes a piece of text that is a token without merging."""
        size = self.config["vocab_size"]
        names = vocabulary(size)
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("llama-bpe")
        out.add_token_list(names)
        out.add_token_types([gguf.TokenType.NORMAL] * size)
        out.add_token_merges(["a b"])
        out.add_bos_token_id(size - 2)
        out.add_eos_token_id(size - 1)
        out.add_add_bos_token(False)
        out.add_add_eos_token(False)

    def write(self, path) -> None:
        """The file appears when it is complete."""
        unfinished = f"{path}.unfinished"
        out = gguf.GGUFWriter(unfinished, "gpt-oss")
        self._describe(out)
        self._describe_vocabulary(out)
        out.add_string(IDENTITY, f"{self.source.identity()} {self.dense}")
        for each in self.tensors:
            kind = TYPES[each.type]
            out.add_tensor_info(each.name, each.shape, np.dtype(np.float32), each.nbytes, kind)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_ti_data_to_file()
        for each in self.tensors:
            out.write_tensor_data(each)
        out.close()
        os.replace(unfinished, path)


def converted_from(path) -> str | None:
    """What the file at `path` says it was made of; None when this program did not make it."""
    field = gguf.GGUFReader(path).get_field(IDENTITY)
    return field.contents() if field else None


def convert(source: Checkpoint, dense: str, path, say) -> None:
    """Writes `path`, unless it already holds this checkpoint in this form."""
    if path.exists():
        found = converted_from(path)
        if found == f"{source.identity()} {dense}":
            return
        if found is None:
            raise Fault(f"{path} was not written by compare-peer; name another file with --gguf")
    conversion = Conversion(source, dense)
    size = sum(each.nbytes for each in conversion.tensors)
    say(f"writing {path}, {size / 1e9:.1f} GB")
    path.parent.mkdir(parents=True, exist_ok=True)
    conversion.write(path)
