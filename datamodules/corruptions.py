"""Corrupted test images, as CIFAR-10-C has them: how much an error grows on images that no training saw.

Source: Hendrycks and Dietterich 2019, arXiv 1903.12261, `make_cifar_c.py` of hendrycks/robustness, of which these are
three. Severity 5 for noise and blur and 2 for contrast: with less, errors on digits hardly move; with less contrast
than that, no pixel of a digit is above 127, where `scaling=binary` has its threshold. Of x = u/255:

| corruption | x becomes | severity |
|---|---|---|
| noise | x + N(0, 0.1²), cut to [0, 1] | 5 |
| blur | Gaussian blur of σ = 1, the nearest pixel beyond the border | 5 |
| contrast | (x − mean)/2 + mean, the mean of each channel of the image, cut to [0, 1] | 2 |

and u = ⌊255 x⌋ again. Differs: the noise is drawn by a seed of ours, the same for every method, run and device.
"""

from collections.abc import Callable

import numpy as np
import torch

SEED = 0
NOISE, SIGMA, CONTRAST = 0.1, 1.0, 0.5


# Each: float32 [N, C, H, W] with values in [0, 1] → the same of the corrupted images. `first` is the number of the
# first image in its set, by which noise is drawn.


def noise(x: np.ndarray, first: int = 0) -> np.ndarray:
    """x + N(0, 0.1²), cut to [0, 1]; the draws are a function of `first`."""
    draws = np.random.default_rng((SEED, first)).standard_normal(x.shape, dtype=np.float32)
    return np.clip(x + np.float32(NOISE) * draws, 0, 1)


def blur(x: np.ndarray, first: int = 0) -> np.ndarray:
    """Gaussian blur of σ = 1, each channel by itself."""
    from scipy.ndimage import gaussian_filter  # here: it takes a while to load, and only the end of a run needs it

    return np.clip(gaussian_filter(x, sigma=(0, 0, SIGMA, SIGMA), mode="nearest", truncate=4.0), 0, 1)


def contrast(x: np.ndarray, first: int = 0) -> np.ndarray:
    """Half the distance to the mean of the image's channel, cut to [0, 1]."""
    mean = x.mean((2, 3), keepdims=True)
    return np.clip((x - mean) * np.float32(CONTRAST) + mean, 0, 1)


CORRUPTIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"noise": noise, "blur": blur, "contrast": contrast}


def corrupt(images: torch.Tensor, corruption: str, first: int = 0) -> torch.Tensor:
    """uint8 [N, C, H, W] → the same images corrupted, on the same device. first: the number of the first of them in its
    set, of which a set that comes in pieces has other noise in each."""
    x = images.cpu().numpy().astype(np.float32) / np.float32(255)
    return torch.from_numpy((255 * CORRUPTIONS[corruption](x, first)).astype(np.uint8)).to(images.device)
