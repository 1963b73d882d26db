"""From pixels 0..255 to what a net is fed: [−1, 1], standardized, ZCA-whitened or binary; before it the centre crop."""

from typing import Protocol

import numpy as np
import torch

from configs.settings import UserError

SCALINGS = ("symmetric", "standardize", "zca", "binary")
ZCA_CHUNK = 5000  # images at a time: bounds the float64 copies
ZCA_LARGEST = 64 * 64 * 3  # values an image: the covariance matrix has this squared


class Scaling(Protocol):
    """Two steps: `store` once on a whole split, and the call on each batch. Together: uint8 [N, C, H, W] → float32."""

    def store(self, images: torch.Tensor) -> torch.Tensor: ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


def fit(name: str, images: torch.Tensor) -> Scaling:
    """The scaling called `name`, fitted only to `images`, the training split: uint8 [N, C, H, W]."""
    if name == "symmetric":
        return Affine(*torch.full((2, images.shape[1], 1, 1), 127.5, device=images.device))
    if name == "standardize":
        return standardization(images)
    if name == "zca":
        return Whitening(images)
    return Binary()


class Stored:
    """The split stays uint8: a quarter of the memory, and each batch is scaled as it is drawn."""

    def store(self, images: torch.Tensor) -> torch.Tensor:
        return images


class Affine(Stored):
    """x → (x − shift) / scale. shift = scale = 127.5 is x/127.5 − 1 with exact ends: 0 → −1, 255 → 1."""

    def __init__(self, shift: torch.Tensor, scale: torch.Tensor) -> None:
        self.shift, self.scale = shift, scale

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().sub_(self.shift).div_(self.scale)


class Binary(Stored):
    """Pixels above 127 → +1, the others → −1."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x > 127).float().mul_(2).sub_(1)


def standardization(images: torch.Tensor) -> Affine:
    """Mean and standard deviation (divisor N) of each channel; a constant channel becomes 0. Exact, from counts."""
    values = np.arange(256)
    means, deviations = [], []
    for channel in images.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).cpu().numpy()
        mean = np.average(values, weights=counts)
        means.append(mean)
        deviations.append(np.sqrt(np.average((values - mean) ** 2, weights=counts)) or 1.0)
    shift, scale = torch.tensor(np.array([means, deviations]), dtype=torch.float32, device=images.device)
    return Affine(shift[:, None, None], scale[:, None, None])


class Whitening:
    """Global contrast normalization to norm 55, then ZCA: x → P (x − mean), P = (covariance + 0.1·I)^(−½).

    Contrast normalization takes an image's own mean from it and scales it to Euclidean norm 55. mean, covariance
    (divisor N) and P are over all C·H·W values of an image. So whitened values have covariance Σ (Σ + 0.1·I)^(−1).

    Source: pylearn2 (make_cifar10_gcn_whitened.py, expr/preprocessing.py, the ZCA of datasets/preprocessing.py with its
    default filter_bias), whose files the BinaryConnect and BinaryNet code loads for CIFAR-10. Differs: it is fitted on
    the training split; pylearn2 fits it on all 50,000 training images, which the validation images are among. That the
    Torch7 code of BinaryNet uses the same for SVHN is [recalled].

    Computed in float64 (a GPU's TensorFloat-32 would not do), stored as float32: four times the memory of uint8.
    """

    NORM = 55.0
    BIAS = 0.1

    def __init__(self, images: torch.Tensor) -> None:
        size = images[0].numel()
        total = torch.zeros(size, dtype=torch.float64, device=images.device)
        square = torch.zeros(size, size, dtype=torch.float64, device=images.device)
        for chunk in images.split(ZCA_CHUNK):
            x = normalize_contrast(chunk, self.NORM)
            total += x.sum(0)
            square.addmm_(x.T, x)
        self.mean = total / len(images)
        covariance = square / len(images) - torch.outer(self.mean, self.mean)
        covariance.diagonal().add_(self.BIAS)
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        self.matrix = (vectors / eigenvalues.sqrt()) @ vectors.T

    def store(self, images: torch.Tensor) -> torch.Tensor:
        stored = torch.empty(images.shape, dtype=torch.float32, device=images.device)
        for source, target in zip(images.split(ZCA_CHUNK), stored.split(ZCA_CHUNK), strict=True):
            x = (normalize_contrast(source, self.NORM) - self.mean) @ self.matrix
            target.copy_(x.view(source.shape))
        return stored

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x


def normalize_contrast(images: torch.Tensor, norm: float) -> torch.Tensor:
    """uint8 [N, C, H, W] → float64 [N, C·H·W]: each image's mean is 0 and its Euclidean norm `norm` (0 if constant)."""
    x = images.flatten(1).double()
    x -= x.mean(1, keepdim=True)
    length = x.norm(dim=1, keepdim=True)
    return x * torch.where(length > norm * 1e-8, norm / length, 1.0)


def center_crop(images: torch.Tensor, size: int | None) -> torch.Tensor:
    """The middle size×size of [N, C, H, W]; where that is not even, one row or column more is cut at the end."""
    if size is None:
        return images
    top, left = (images.shape[2] - size) // 2, (images.shape[3] - size) // 2
    if top < 0 or left < 0:
        raise UserError(f"dataset.center_crop={size} is larger than the images ({images.shape[2]}×{images.shape[3]})")
    return images[:, :, top : top + size, left : left + size].contiguous()


def check_scaling(name: str, shape: torch.Size | tuple[int, ...]) -> None:
    """Raises UserError where scaling images of `shape` (C, H, W) so makes no sense."""
    if name == "zca" and shape[0] != 3:
        raise UserError("dataset.scaling=zca is for color images (cifar10, svhn): use symmetric or standardize here")
    if name == "zca" and int(np.prod(shape)) > ZCA_LARGEST:
        raise UserError(f"dataset.scaling=zca is for images up to 64×64, not {shape[1]}×{shape[2]}")
