"""The two official implementations of gpt-oss as oracles: float32, on the CPU, file by file theirs.

Both read the checkpoint with their own loaders, so that the order of nibbles, the meaning of scales
and the transpositions are theirs. Nothing of their arithmetic is patched: transformers is asked for
float32 and eager attention, OpenAI's module is loaded as always and then converted by `.float()`,
which every operation in it follows.

Names of what `run` returns are those of `gptoss dump`: "logits" [tokens, vocab] and "hidden.L"
[tokens, hidden], L = 0 being the embedding and L the residual after L layers.
"""

import importlib.metadata
import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

PACKAGES = {"transformers": ["torch", "transformers", "safetensors"], "openai": ["torch", "gpt-oss"]}


def provenance(oracle: str) -> dict[str, str]:
    """Versions of what computed a result, for the metadata of a file."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES[oracle]}
    return versions | {"python": sys.version.split()[0], "dtype": "float32"}


class _Recorder:
    """Keeps what the embedding and each layer put out, before the final norm."""

    def __init__(self, embedding, layers):
        self.seen = []
        for module in [embedding, *layers]:
            module.register_forward_hook(self._keep)

    def _keep(self, module, inputs, output):
        self.seen.append(output[0] if isinstance(output, tuple) else output)

    def take(self, logits) -> dict[str, np.ndarray]:
        found = {f"hidden.{i}": x for i, x in enumerate(self.seen)} | {"logits": logits}
        self.seen = []
        width = {name: x.shape[-1] for name, x in found.items()}
        return {name: x.reshape(-1, width[name]).numpy().copy() for name, x in found.items()}


class Transformers:
    """transformers' GptOssForCausalLM, on the layouts "hf-mxfp4" and "hf"."""

    name = "transformers"

    def __init__(self, directory: str):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.model = transformers.GptOssForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager",
            experts_implementation="eager",
        ).eval()
        for name, weight in self.model.named_parameters():
            assert weight.dtype == torch.float32, f"{name} was loaded as {weight.dtype}"
        self._recorder = _Recorder(self.model.model.embed_tokens, self.model.model.layers)

    @torch.inference_mode()
    def run(self, ids: list[int]) -> dict[str, np.ndarray]:
        logits = self.model(torch.tensor([ids]), use_cache=False).logits
        return self._recorder.take(logits)

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
        self._recorder.seen = []
        return made[0, len(ids) :].tolist()


class StreamedTransformers:
    """transformers' modules for a large "hf-mxfp4" checkpoint, with one layer in memory at a time.

    The modules, the masks and the dequantiser are transformers'; only the order of loading is ours.
    A layer of the published models takes 3.3 GB in float32 here, and twice that while it is loaded.
    """

    name = "transformers"

    def __init__(self, directory: str):
        import safetensors
        import transformers
        from transformers.integrations.mxfp4 import convert_moe_packed_tensors
        from transformers.models.gpt_oss.modeling_gpt_oss import GptOssRotaryEmbedding

        self._dequantise = convert_moe_packed_tensors
        files = sorted(pathlib.Path(directory).glob("*.safetensors"))
        opened = [safetensors.safe_open(file, framework="pt") for file in files]
        self._file_of = {name: file for file in opened for name in file.keys()}

        config = transformers.AutoConfig.from_pretrained(directory)
        del config.quantization_config
        config._attn_implementation = "eager"
        config._experts_implementation = "eager"
        with torch.device("meta"):
            self.model = transformers.GptOssForCausalLM(config).eval()
        self.model.model.rotary_emb = GptOssRotaryEmbedding(config)
        for name, module in self._pieces():
            module.register_forward_pre_hook(lambda module, _, name=name: self._load(module, name))
            module.register_forward_hook(self._unload)
        self._recorder = _Recorder(self.model.model.embed_tokens, self.model.model.layers)

    def _pieces(self):
        inner = self.model.model
        yield "model.embed_tokens", inner.embed_tokens
        for index, layer in enumerate(inner.layers):
            yield f"model.layers.{index}", layer
        yield "model.norm", inner.norm
        yield "lm_head", self.model.lm_head

    def _load(self, module, prefix: str) -> None:
        state = {}
        for name in module.state_dict():
            stored = f"{prefix}.{name}"
            if stored in self._file_of:
                state[name] = self._read(stored).float()
            else:
                state[name] = self._experts(stored, module.get_parameter(name).shape)
        module.load_state_dict(state, assign=True)

    def _experts(self, name: str, shape: torch.Size):
        """[experts, in, out] in float32, by way of bfloat16, which holds MXFP4 exactly."""
        blocks, scales = self._read(name + "_blocks"), self._read(name + "_scales")
        experts = torch.empty(shape)

        @torch.inference_mode()
        def fill(i: int) -> None:
            torch.set_num_threads(1)  # of this worker: its operations are small
            one = slice(i, i + 1)
            experts[one] = self._dequantise(blocks[one], scales[one], rows_per_chunk=1 << 14)

        with ThreadPoolExecutor(os.cpu_count()) as workers:
            list(workers.map(fill, range(len(experts))))
        return experts

    @staticmethod
    def _unload(module, inputs, output) -> None:
        module.to("meta")

    def _read(self, name: str):
        return self._file_of[name].get_tensor(name)

    @torch.inference_mode()
    def run(self, ids: list[int]) -> dict[str, np.ndarray]:
        logits = self.model(torch.tensor([ids]), use_cache=False).logits
        return self._recorder.take(logits)


class OpenAI:
    """OpenAI's torch model, on the layout "original". It has no cache."""

    name = "openai"

    def __init__(self, directory: str):
        from gpt_oss.torch.model import Transformer

        self.model = Transformer.from_checkpoint(directory, device="cpu").float()
        self._recorder = _Recorder(self.model.embedding, self.model.block)

    @torch.inference_mode()
    def run(self, ids: list[int]) -> dict[str, np.ndarray]:
        return self._recorder.take(self.model(torch.tensor(ids)))

    @torch.inference_mode()
    def greedy(self, ids: list[int], count: int) -> list[int]:
        tokens = list(ids)
        for _ in range(count):
            tokens.append(int(self.model(torch.tensor(tokens))[-1].argmax()))
        self._recorder.seen = []
        return tokens[len(ids) :]


def nmse(got: np.ndarray, wanted: np.ndarray) -> float:
    """Squared error over squared truth, in double precision."""
    difference = got.astype(np.float64) - wanted
    return float((difference**2).sum() / (wanted.astype(np.float64) ** 2).sum())
