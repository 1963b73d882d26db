"""What the binary weights do while they train: flips, flip-flops, agreement with the gradient, saturation.

Cheap enough to leave on: per step it looks at a fixed random sample of each layer's weights, once an epoch at all.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from methods.binary.layers import binary_layers

SAMPLE = 2048  # weights per layer that are followed step by step
WINDOW = 10  # steps within which a flip back counts as a flip-flop
AVERAGE_RATE = 0.01  # of the moving average of the gradient that agreement is measured against
SATURATED = 0.99
BINS = 20  # of the histogram of weight means, over [−1, 1]


class Diagnostics(pl.Callback):
    """Per binary layer and epoch (all shares in [0, 1]):

    - `flip_rate`: flips per sampled weight and step; `flip_flop`: share of those flips that undo one of at most
      `WINDOW` steps before; `never_flipped`: sampled weights that have not flipped since training began;
    - `net_flips`: share of all weights whose sign differs from the start of the epoch (exact);
    - `agreement`: share of sampled weights with `sign(W) = −sign(m)`, m the moving average of g at rate 0.01, at the
      end of the epoch, of those with m ≠ 0: ½ is chance, 1 means that no weight wants to flip;
    - `saturation`: share of all latent weights with |W| ≥ 0.99, of probabilities with |2p − 1| ≥ 0.99 (exact); absent
      where there is no latent weight;
    - `histogram`, beside it: shares of all weights whose latent value W, or mean 2p − 1, lies in each of `BINS` equal
      parts of [−1, 1]; what is outside counts in the outermost;
    - `blocked`, of bit-flip methods: of the sampled weights whose moving average m asks for a flip (sign(m) = sign(w)),
      the share that the threshold τ held back, over all steps; `moment_to_threshold`: rms of what the rule compares
      with τ (m, or m/√v), over τ, at the end of the epoch.

    `summary` has the mean of each but the histogram over all weights of the net (layers by size), for the curves."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, list[Any]]] = {}
        self.summary: dict[str, float] = {}
        self.state: dict[str, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        layers = binary_layers(pl_module.net)
        weights = {name: layer.weight for name, layer in layers.items()}
        self.mean = {name: layer.quantizer.mean for name, layer in layers.items()}
        self.mean_at = {name: layer.quantizer.mean_at for name, layer in layers.items()}
        generator = torch.Generator().manual_seed(0)
        device = next(iter(weights.values())).device
        self.sample = {name: _sample(w.numel(), generator).to(device) for name, w in weights.items()}
        self.weights = weights
        self.sizes = [len(index) for index in self.sample.values()]
        self.share = torch.tensor([w.numel() for w in weights.values()], dtype=torch.float64)
        self.share /= self.share.sum()
        if not self.state:
            positive = self._positive()
            self.state = {
                "positive": positive,
                "last_flip": torch.full_like(positive, -(10**9), dtype=torch.int64),
                "average": torch.zeros(len(positive), device=device),
                "step": 0,
            }
        self.state = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.state.items()}

    def _gather(self, tensors: dict[str, Any]) -> Tensor:
        # take counts positions as if the tensor were flattened, and copies none, whatever its memory format
        return torch.cat([t.detach().take(self.sample[name]) for name, t in tensors.items()])

    def _positive(self) -> Tensor:
        """Which sampled weights are +1."""
        return torch.cat([self.mean_at[name](w.detach(), self.sample[name]) >= 0 for name, w in self.weights.items()])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.before = {name: self.mean[name](w.detach()) >= 0 for name, w in self.weights.items()}
        self.flips = torch.zeros_like(self.state["last_flip"])
        self.undone = torch.zeros_like(self.flips)
        self.wanted = torch.zeros_like(self.flips)
        self.blocked = torch.zeros_like(self.flips)
        self.epoch_steps = 0

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        gradients = self._gather({name: w.grad for name, w in self.weights.items()})
        self.state["average"].lerp_(gradients.float(), AVERAGE_RATE)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        state = self.state
        positive = self._positive()
        flipped = positive ^ state["positive"]
        self.flips += flipped
        self.undone += flipped & (state["step"] - state["last_flip"] <= WINDOW)
        state["last_flip"].masked_fill_(flipped, state["step"])
        if pl_module.flips_bits:
            moments = [pl_module.flip_moment(w, self.sample[name]) for name, w in self.weights.items()]
            moment = torch.cat(moments)
            wants = (moment != 0) & ((moment > 0) == state["positive"])
            self.wanted += wants
            self.blocked += wants & ~flipped
        state["positive"] = positive
        state["step"] += 1
        self.epoch_steps += 1

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        flips = [f.sum().item() for f in self.flips.split(self.sizes)]
        undone = [u.sum().item() for u in self.undone.split(self.sizes)]
        wanted = [w.sum().item() for w in self.wanted.split(self.sizes)]
        blocked = [b.sum().item() for b in self.blocked.split(self.sizes)]
        never = (self.state["last_flip"] < 0).float().split(self.sizes)
        agrees = (self.state["positive"] == (self.state["average"] < 0)).split(self.sizes)
        moved = (self.state["average"] != 0).split(self.sizes)
        rows: dict[str, dict[str, Any]] = {}
        for i, (name, weight) in enumerate(self.weights.items()):
            rows[name] = {
                "flip_rate": flips[i] / (self.sizes[i] * self.epoch_steps),
                "flip_flop": undone[i] / flips[i] if flips[i] else 0.0,
                "never_flipped": never[i].mean().item(),
                "agreement": agrees[i][moved[i]].float().mean().nan_to_num(0.5).item(),
            }
            mean = self.mean[name](weight)
            rows[name]["net_flips"] = ((mean >= 0) ^ self.before[name]).float().mean().item()
            if pl_module.latent:
                rows[name]["saturation"] = (mean.abs() >= SATURATED).float().mean().item()
                bins = ((mean.detach().nan_to_num().flatten() + 1) * (BINS / 2)).floor().clamp(0, BINS - 1).long()
                rows[name]["histogram"] = (bins.bincount(minlength=BINS) / mean.numel()).tolist()
            if pl_module.flips_bits:
                moment = pl_module.flip_moment(weight, self.sample[name])
                rows[name]["blocked"] = blocked[i] / wanted[i] if wanted[i] else 0.0
                rows[name]["moment_to_threshold"] = moment.square().mean().sqrt().item() / pl_module.threshold()
            for key, value in rows[name].items():
                self.layers.setdefault(name, {}).setdefault(key, []).append(value)
        self.summary = {
            key: sum(share * row[key] for share, row in zip(self.share.tolist(), rows.values(), strict=True))
            for key in next(iter(rows.values()))
            if key != "histogram"
        }

    def state_dict(self) -> dict[str, Any]:
        return {"layers": self.layers, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.layers, self.state = state_dict["layers"], state_dict["state"]


def _sample(count: int, generator: torch.Generator) -> Tensor:
    """Which of `count` weights are followed: all, or `SAMPLE` drawn with replacement (which is quick for any layer)."""
    return torch.arange(count) if count <= SAMPLE else torch.randint(count, (SAMPLE,), generator=generator)
