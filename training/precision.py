"""What matrix products and convolutions of a run are computed in, and what that does to sums of ±1."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from configs.settings import UserError

# precision → what Lightning calls it
PRECISIONS = {"32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}


def check_precision(precision: str, device: torch.device) -> None:
    """UserError where the device cannot compute in this precision."""
    if precision == "tf32" and device.type != "cuda":
        raise UserError(f"precision=tf32 needs device=cuda, and this run is on {device.type}: use 32 or bf16")


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Within the context float32 products are what `precision` says; afterwards torch's settings are as before.

    - `32`: float32 throughout. A sum of ±1 is exact up to 2²⁴ terms.
    - `tf32`: CUDA's tensor cores round both factors to 11 significant bits and add in float32. ±1 stays what it is, so
      a sum of ±1 is as exact as in float32; real inputs of the first layer, and gradients, are rounded.
    - `bf16`: autocast rounds factors *and results* to 8 significant bits. ±1 is exact, a sum of ±1 beyond ±256 is not.

    Without this, torch computes convolutions in TF32 on CUDA, and matrix products in float32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
