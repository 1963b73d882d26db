"""The random stream of drawn weights, where several processes train one net.

All processes must draw the same weights, while each draws activations of its own, for its own examples. So weights are
drawn from generators of their own then, which have one seed everywhere. A single process has no such stream: its
weights and activations are drawn from torch's generator, as they come."""

import torch

_seed: int | None = None
_generators: dict[torch.device, torch.Generator] = {}


def seed_weight_draws(seed: int | None) -> None:
    """Starts the stream anew, on every device; None: there is none from now on."""
    global _seed
    _seed = seed
    _generators.clear()


def weight_generator(device: torch.device) -> torch.Generator | None:
    """What weights on this device are drawn from; None is torch's own generator."""
    if _seed is None:
        return None
    if device not in _generators:
        _generators[device] = torch.Generator(device).manual_seed(_seed)
    return _generators[device]
