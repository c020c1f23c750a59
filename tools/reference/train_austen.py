#!/usr/bin/env python3
"""Trains and exports models/austen, the small gpt-oss model that ships with this repository.

    apt-get download r-cran-janeaustenr && dpkg -x r-cran-janeaustenr_*.deb austen-data
    pip install torch==2.13.0 transformers==5.23.0 tokenizers safetensors numpy
    python tools/reference/train_austen.py --data austen-data --out models/austen

Text -> tokenizer -> training with the official GptOssForCausalLM parameters in float32 ->
quantisation-aware last steps -> MXFP4 export, read back by stock transformers. Everything is
seeded; an interrupted run continues from --checkpoint and computes the same. The shipped run took
70 minutes on two shared cores; the points of its learning rate, here to three digits, were set
while it ran, so that each cycle ended in time. GLIBC_TUNABLES=glibc.malloc.arena_max=1 together
with a high glibc.malloc.mmap_threshold spares the page faults of large temporaries.
"""

import argparse
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from austen import export, model as architecture, mxfp4, text
from austen.optimizer import Optimizer
from austen.tokenizer import train_tokenizer

VOCAB, LAYERS, SEED = 4096, 4, 1775
TOKENS_PER_BATCH, WORKERS = 4096, 2


@dataclass(frozen=True)
class Plan:
    """The whole schedule, in steps of 4096 tokens; 224 of them read the training text once."""

    # (steps, sequence lengths): each pass shuffles anew, each length gets an equal part
    passes: tuple = (
        (224, (256,)), (160, (256,)), (96, (512, 512, 512, 2048)),
        (224, (256,)), (224, (256,)), (68, (256,)), (124, (512, 512, 512, 2048)),
    )  # fmt: skip
    # (step, factor of the learning rate), linear between: two cycles, each from 0 to 0
    rate_points: tuple = (
        (60, 1.0), (224, 1.0), (352, 0.619), (384, 0.497), (480, 0.0),
        (504, 0.7), (624, 0.43), (672, 0.338), (720, 0.27), (768, 0.208), (816, 0.166),
        (864, 0.138), (1056, 0.051), (1120, 0.0),
    )  # fmt: skip
    # (first step, end): there the forward pass sees MXFP4 and BF16 values
    quantised: tuple = ((432, 480), (1056, 1120))
    rate: float = 3e-3
    decay: float = 0.2
    dropout: float = 0.05

    def rate_factor(self, step: float) -> float:
        """The learning rate's factor in the middle of a step."""
        before = (0, 0.0)
        for point in self.rate_points:
            if step < point[0]:
                share = (step + 0.5 - before[0]) / (point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return 0.0

    def is_quantised(self, step: int) -> bool:
        return any(begin <= step < end for begin, end in self.quantised)


def pass_batches(chapters: list[torch.Tensor], lengths: tuple, number: int):
    """Yields batches [B, T+1] of one pass: chapters in new order, cut at new places, shuffled."""
    random = torch.Generator().manual_seed(SEED * 1000 + number)
    count = (sum(map(len, chapters)) // TOKENS_PER_BATCH - 1) // 2 * 2
    order = torch.randperm(len(chapters), generator=random)
    stream = torch.cat([chapters[i] for i in order])
    stream = stream.roll(int(torch.randint(len(stream), (1,), generator=random)))
    batches = []
    for part, length in zip(stream.chunk(len(lengths)), lengths, strict=True):
        rows = part[: (len(part) - 1) // length * length + 1].unfold(0, length + 1, length)
        rows = rows[torch.randperm(len(rows), generator=random)]
        batches += rows.split(TOKENS_PER_BATCH // length)[: count // len(lengths)]
    for i in torch.randperm(len(batches), generator=random):
        yield batches[i]


def gradients(forward, weights: dict, rows: torch.Tensor, drop) -> tuple:
    """Loss, balance and gradients for the rows [B, T+1] of one worker."""
    logits, balance = forward.logits(weights, rows[:, :-1], drop)
    loss = F.cross_entropy(logits, rows[:, 1:].reshape(-1))
    total = loss + forward.config.router_aux_loss_coef * balance
    return loss.item(), balance.item(), torch.autograd.grad(total, list(weights.values()))


@torch.no_grad()
def held_out_loss(forward, weights: dict, ids: torch.Tensor) -> float:
    """Mean nll over windows of 512 without overlap; a quick look, not the published figure."""
    rows = ids[: (len(ids) - 1) // 512 * 512 + 1].unfold(0, 513, 512)
    total = 0.0
    for row in rows.split(16):
        logits, _ = forward.logits(weights, row[:, :-1])
        total += F.cross_entropy(logits, row[:, 1:].reshape(-1), reduction="sum").item()
    return total / (rows.shape[0] * 512)


def as_stored(weights: dict) -> dict:
    """What the file would hold, as leaves: gradients taken there are the straight-through ones."""
    with torch.no_grad():
        return {n: w.requires_grad_() for n, w in mxfp4.stored(weights).items()}


class Trainer:
    """Model, optimizer and position in the plan.

    Each worker is one thread that computes its part of the batch alone: on a shared machine that
    is faster than splitting every operation, because nobody waits at each operation's end.
    """

    def __init__(self, model, chapters: list[torch.Tensor], plan: Plan, checkpoint: Path):
        self.model, self.chapters, self.plan, self.checkpoint = model, chapters, plan, checkpoint
        self.pool = ThreadPoolExecutor(WORKERS, "worker", torch.set_flush_denormal, [True])
        self.weights = dict(model.named_parameters())
        self.forward = architecture.TrainingForward(model)
        names = architecture.matrices(model)
        self.optimizer = Optimizer(self.weights, names, plan.rate, plan.decay, self.pool)
        self.step = 0
        if checkpoint.exists():
            saved = torch.load(checkpoint)
            model.load_state_dict(saved["model"])
            self.optimizer.restore(saved["optimizer"])
            self.step = saved["step"]
            print(f"continuing at step {self.step}", flush=True)

    def save(self) -> None:
        """Replaces the checkpoint; an interrupted write leaves the old one."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state()}
        torch.save({**state, "step": self.step}, self.checkpoint.with_suffix(".new"))
        os.replace(self.checkpoint.with_suffix(".new"), self.checkpoint)

    def batches(self):
        """Yields the batches of the whole plan from the present step on."""
        begin = 0
        for number, (steps, lengths) in enumerate(self.plan.passes):
            if self.step < begin + steps:
                batches = pass_batches(self.chapters, lengths, number)
                yield from itertools.islice(batches, self.step - begin, steps)
            begin += steps

    def update(self, rows: torch.Tensor) -> tuple[float, float]:
        """One optimizer step on rows [B, T+1]; returns loss and load balance (2 = even)."""
        quantised = self.plan.is_quantised(self.step)
        used = as_stored(self.weights) if quantised else self.weights
        drops = [architecture.Dropout(self.plan.dropout, SEED + WORKERS * self.step + k)
                 for k in range(WORKERS)]  # fmt: skip
        jobs = [self.pool.submit(gradients, self.forward, used, part, drop)
                for part, drop in zip(rows.chunk(WORKERS), drops, strict=True)]  # fmt: skip
        losses, balances, grads = zip(*(job.result() for job in jobs), strict=True)
        for p, *parts in zip(self.weights.values(), *grads, strict=True):
            p.grad = sum(parts[1:], parts[0]) / WORKERS
        self.optimizer.step(self.plan.rate_factor(self.step))
        self.step += 1
        return sum(losses) / WORKERS, balances[0]

    def run(self, held_out: torch.Tensor, minutes: float) -> None:
        """Trains to the end of the plan, or until `minutes` have passed."""
        begin, losses = time.time(), []
        for rows in self.batches():
            loss, balance = self.update(rows)
            losses.append(loss)
            if self.step % 32 == 0:
                self.save()
                spent = time.time() - begin
                print(f"step {self.step} loss {sum(losses[-32:]) / len(losses[-32:]):.4f} balance "
                      f"{balance:.3f} {len(losses) * TOKENS_PER_BATCH / spent:.0f} tokens/s "
                      f"{spent / 60:.1f} min", flush=True)  # fmt: skip
                if spent > 60 * minutes:
                    return
            if self.step % 96 == 0:
                exact = held_out_loss(self.forward, self.weights, held_out)
                rounded = held_out_loss(self.forward, as_stored(self.weights), held_out)
                print(f"step {self.step} held-out loss {exact:.4f}, as stored {rounded:.4f}",
                      flush=True)  # fmt: skip
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="where the .deb was unpacked")
    parser.add_argument("--out", type=Path, default=Path("models/austen"))
    parser.add_argument("--held-out", type=Path, default=Path("tests/golden/austen/heldout.txt"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/austen.pt"))
    parser.add_argument("--minutes", type=float, default=1e9, help="export after that time")
    args = parser.parse_args()
    torch.set_num_threads(1)  # within a worker
    torch.manual_seed(SEED)

    train_texts, held_out_texts = text.split(args.data)
    for path in (args.held_out, args.checkpoint):
        path.parent.mkdir(parents=True, exist_ok=True)
    args.held_out.write_text("\n\n".join(held_out_texts) + "\n", encoding="utf-8")
    tokenizer = train_tokenizer(train_texts, VOCAB)
    end = tokenizer.token_to_id("<|endoftext|>")
    chapters = [torch.tensor([*tokenizer.encode(t).ids, end]) for t in train_texts]
    held_out = torch.tensor(tokenizer.encode(args.held_out.read_text(encoding="utf-8")).ids)

    model = architecture.make_model(architecture.make_config(tokenizer, LAYERS))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, "
          f"{sum(map(len, chapters))} training tokens, {len(held_out)} held out; "
          f"forward differs by {architecture.check(model):.1e}", flush=True)  # fmt: skip
    Trainer(model, chapters, Plan(), args.checkpoint).run(held_out, args.minutes)
    export.export(model, tokenizer, args.out)
    difference = export.check(model, args.out)
    print(f"exported to {args.out}; reloaded logits differ by {difference}")


if __name__ == "__main__":
    main()
