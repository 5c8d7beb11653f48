"""The recipe: trains the shipped model on a folder of stories until a wall-clock deadline.

    python -m train.run --data DIR --tokenizer merges.json --out RUN --until 10:35

Muon for the matrices of the blocks, AdamW for the embedding and the norms; all tiers until the learning rate decays, then tier A
only. Writes RUN/checkpoint.pt every few minutes and at SIGTERM, and resumes from it when it exists. On a shared machine set
OMP_WAIT_POLICY=passive: a thread that spins at a barrier burns the time slice its partner needs.
"""
from __future__ import annotations

import argparse
import math
import pathlib
import signal
import time
from typing import Any, Callable, Dict, List

import numpy as np
import torch

from train.data import Batches, encode_documents, hold_out, read_documents, windows
from train.model import ModelConfig, Transformer, parameter_count
from train.muon import Muon
from train.sample import continue_text
from train.schedule import WallClockSchedule, parse_deadline
from train.tokenize_data import load_tokenizer

SAMPLE_PROMPT = "Once upon a time there was a little girl who"


def parse_arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True, help="folder of *.txt stories")
    p.add_argument("--tokenizer", required=True, help="merges written by train.tokenize_data")
    p.add_argument("--out", required=True, help="folder for checkpoint.pt")
    p.add_argument("--hours", type=float, default=2.0)
    p.add_argument("--until", default="", help="HH:MM today; overrides --hours")
    p.add_argument("--batch", type=int, default=12, help="windows per step")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--muon-lr", type=float, default=0.02)
    p.add_argument("--adam-lr", type=float, default=0.004)
    p.add_argument("--weight-decay", type=float, default=0.1)
    p.add_argument("--decay", type=float, default=0.4, help="share of the time over which the learning rate goes to zero")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--no-bf16", action="store_true", help="f32 products instead of bf16 ones with f32 weights")
    p.add_argument("--no-compile", action="store_true", help="do not use torch.compile even where it exists")
    return p.parse_args()


def make_optimizers(model: Transformer, a: argparse.Namespace) -> List[torch.optim.Optimizer]:
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(matrices, lr=a.muon_lr, weight_decay=a.weight_decay)
    adam = torch.optim.AdamW(rest, lr=a.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    for group in muon.param_groups + adam.param_groups:
        group["peak_lr"] = group["lr"]
    return [muon, adam]


class Trainer:
    """Everything one run owns; `state()` and `restore()` are the checkpoint."""

    def __init__(self, a: argparse.Namespace) -> None:
        torch.manual_seed(a.seed)
        torch.set_num_threads(a.threads)
        self.a, self.out = a, pathlib.Path(a.out)
        self.tokenizer = load_tokenizer(a.tokenizer)
        config = ModelConfig(vocab=self.tokenizer.vocab)
        documents, dev = hold_out(read_documents(a.data))
        encoded = encode_documents(documents, self.tokenizer)
        simple = [e for e, d in zip(encoded, documents) if d.tier == "A"]
        self.all_tiers = Batches(encoded, config.context, a.batch, a.seed)
        self.tier_a = Batches(simple, config.context, a.batch, a.seed + 1000)
        self.dev = windows(encode_documents(dev, self.tokenizer), config.context, 0)[:32]
        self.model = Transformer(config)
        self.loss: Callable[..., torch.Tensor] = self.model
        if hasattr(torch, "compile") and not a.no_compile:
            self.loss = torch.compile(self.model)
        self.optimizers = make_optimizers(self.model, a)
        self.step, self.seconds, self.stopped = 0, 0.0, False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopped", True))
        self.schedule = WallClockSchedule(time.time(), parse_deadline(a.hours, a.until), a.decay, warmup_steps=50)
        print(f"{parameter_count(self.model)} parameters; {sum(map(len, encoded))} training tokens, tier A {sum(map(len, simple))}", flush=True)

    def state(self) -> Dict[str, Any]:
        return dict(
            config=self.model.config.as_dict(), model=self.model.state_dict(), step=self.step, seconds=self.seconds,
            optimizers=[o.state_dict() for o in self.optimizers], start=self.schedule.start,
            position=[(b.epoch, b.position) for b in (self.all_tiers, self.tier_a)],
        )

    def save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        torch.save(self.state(), self.out / "checkpoint.tmp")
        (self.out / "checkpoint.tmp").replace(self.out / "checkpoint.pt")

    def restore(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        s = torch.load(path, map_location="cpu")
        self.model.load_state_dict(s["model"])
        for optimizer, saved in zip(self.optimizers, s["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.schedule.start = s["step"], s["seconds"], s["start"]
        for batches, (epoch, position) in zip((self.all_tiers, self.tier_a), s["position"]):
            batches.seek(epoch, position)
        print(f"resumed at step {self.step}", flush=True)

    def one_step(self) -> torch.Tensor:
        factor = self.schedule.factor(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
        ids, targets = next(self.tier_a if self.schedule.annealing() else self.all_tiers)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not self.a.no_bf16):
            loss = self.loss(ids, targets)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def dev_loss(self) -> float:
        """Mean nats per token on the first windows of the development documents."""
        rows = torch.from_numpy(self.dev.astype(np.int64))
        parts = [self.model(r[:, :-1], r[:, 1:]).item() for r in rows.split(8)]
        return sum(parts) / len(parts)

    def dev_bits_per_byte(self) -> float:
        text_bytes = sum(len(self.tokenizer.decode(r[1:]).encode()) for r in self.dev)
        return self.dev_loss() * self.dev[:, 1:].size / math.log(2) / text_bytes


def train(t: Trainer) -> None:
    """Runs until the deadline; prints every 20 steps, saves every 5 minutes, samples every 10 minutes."""
    tokens_per_step = t.a.batch * t.model.config.context
    window: List[float] = []
    window_start = time.time()
    next_save, next_sample = window_start + 240, window_start + 420
    while t.schedule.progress() < 1.0 and not t.stopped:
        begin = time.time()
        window.append(float(t.one_step()))
        t.seconds += time.time() - begin
        if len(window) == 20:
            speed = 20 * tokens_per_step / (time.time() - window_start)
            left = (t.schedule.end - time.time()) / 60
            print(
                f"step {t.step} loss {sum(window) / 20:.4f} lr x{t.schedule.factor(t.step):.3f} {speed:.0f} tokens/s, "
                f"{t.step * tokens_per_step / 1e6:.2f} M tokens, {left:.1f} min left", flush=True,
            )
            window, window_start = [], time.time()
        if time.time() > next_save:
            t.save()
            next_save = time.time() + 300
        if time.time() > next_sample:
            text = continue_text(t.model, t.tokenizer, SAMPLE_PROMPT, 100, 0.7, seed=t.step)
            print(f"--- step {t.step}, dev {t.dev_bits_per_byte():.4f} bits/byte\n{text}\n---", flush=True)
            next_sample, window_start = time.time() + 600, time.time()
    t.save()
    print(f"done: step {t.step}, {t.seconds:.0f} s in steps, dev {t.dev_bits_per_byte():.4f} bits/byte", flush=True)


def main() -> None:
    trainer = Trainer(parse_arguments())
    trainer.restore()
    train(trainer)


if __name__ == "__main__":
    main()
