#!/usr/bin/env python3
"""Writes tests/golden/austen: what transformers computes with models/austen in float32.

    python tools/reference/austen_golden.py --model models/austen --golden tests/golden/austen

perplexity.json: heldout.txt tokenised as a whole, no token added; windows of 512 tokens start 256
apart, the last one may be shorter; the first window scores its tokens 1..511, each later one only
those that no window scored before; natural logarithm; stderr = sd / sqrt(tokens), sd with n - 1.
greedy.json: the 64 most likely tokens after each prompt, end tokens not obeyed, with the smallest
lead that a chosen token had over the next (logits), so that a test knows how firm the ids are.
MXFP4 is decoded by transformers' own loader, text by its own tokenizer.
"""

import argparse
import json
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F
import transformers
from austen.export import load

CONTEXT, STRIDE, NEW_TOKENS = 512, 256, 64
PROMPTS = [
    "It is a truth universally acknowledged, that",
    "Chapter 1\n\nMiss Hartley was the eldest of three sisters, and",
    '"You are very kind, sir," said Elizabeth, "but I',
]


@torch.no_grad()
def window_losses(model, ids: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of tokens 1.. of ids, each with its window's context, float64."""
    losses, scored = [], 1
    for begin in range(0, len(ids), STRIDE):
        window = ids[begin : begin + CONTEXT]
        logits = model(window[None]).logits[0, :-1].double()
        nll = F.cross_entropy(logits, window[1:], reduction="none")
        losses.append(nll[scored - begin - 1 :])
        scored = begin + len(window)
        if scored == len(ids):
            break
    return torch.cat(losses)


@torch.no_grad()
def greedy(model, ids: list[int]) -> tuple[list[int], float]:
    """Continues ids by NEW_TOKENS; returns them and the smallest lead over the second best."""
    tokens, lead = list(ids), float("inf")
    for _ in range(NEW_TOKENS):
        best = model(torch.tensor([tokens])).logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
    return tokens[len(ids) :], lead


def provenance() -> dict:
    """What computed the numbers."""
    return {
        "written_by": "tools/reference/austen_golden.py", "torch": torch.__version__,
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
        "arithmetic": "float32, eager attention, MXFP4 dequantised by transformers",
    }  # fmt: skip


def write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("models/austen"))
    parser.add_argument("--golden", type=Path, default=Path("tests/golden/austen"))
    args = parser.parse_args()
    torch.set_num_threads(2)
    model = load(args.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)

    text = (args.golden / "heldout.txt").read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text).input_ids)
    losses = window_losses(model, ids)
    assert len(losses) == len(ids) - 1
    result = {
        "tokens": len(losses), "nll": losses.mean().item(),
        "perplexity": losses.mean().exp().item(),
        "stderr": (losses.std() / len(losses) ** 0.5).item(),
        "context": CONTEXT, "stride": STRIDE, "first_ids": ids[:32].tolist(),
        "first_nll": losses[:32].tolist(), "provenance": provenance(),
    }  # fmt: skip
    write(args.golden / "perplexity.json", result)
    print({k: result[k] for k in ("tokens", "nll", "perplexity", "stderr")})

    completions = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt).input_ids
        new_ids, lead = greedy(model, prompt_ids)
        text = tokenizer.decode(new_ids, skip_special_tokens=False)
        completions.append({"prompt": prompt, "prompt_ids": prompt_ids, "ids": new_ids,
                            "text": text, "smallest_lead": lead})  # fmt: skip
        print(f"{prompt}|{text}  [lead {lead:.4f}]")
    write(args.golden / "greedy.json", {"completions": completions, "provenance": provenance()})


if __name__ == "__main__":
    main()
