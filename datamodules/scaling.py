"""From pixels u = 0..255 to what a net is fed; before it the centre crop.

| scaling | x, of each pixel or image |
|---|---|
| symmetric | u/127.5 − 1: [−1, 1] |
| unit | u/255: [0, 1] |
| standardize | mean 0 and deviation 1 of each channel over the training split |
| constants | (u/255 − `mean`)/`sd`, the channels' constants of the settings |
| zca | whitened, see `Whitening`, with the settings `zca_contrast` and `zca_bias` |
| lcn | contrast normalized globally and locally, see `LocalContrast` |
| binary | +1 above 127, −1 elsewhere |
"""

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from configs.settings import UserError

SCALINGS = ("symmetric", "standardize", "zca", "binary", "unit", "constants", "lcn")
ZCA_CHUNK = 5000  # images at a time: bounds the float64 copies
ZCA_LARGEST = 64 * 64 * 3  # values an image: the covariance matrix has this squared


class Scaling(Protocol):
    """Two steps: `store` once on a whole split, and the call on each batch. Together: uint8 [N, C, H, W] → float32."""

    def store(self, images: torch.Tensor) -> torch.Tensor: ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


def fit(config: Any, images: torch.Tensor) -> Scaling:
    """The scaling that a data set's `config` asks for, fitted to `images` only: the training split, uint8
    [N, C, H, W]."""
    name, channels = config.scaling, images.shape[1]
    if name == "symmetric":
        return Affine(*torch.full((2, channels, 1, 1), 127.5, device=images.device))
    if name == "unit":
        return Affine(torch.zeros(channels, 1, 1), torch.full((channels, 1, 1), 255.0)).to(images.device)
    if name == "constants":
        mean, sd = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (config.mean, config.sd))
        return Affine((255 * mean).float(), (255 * sd).float()).to(images.device)
    if name == "standardize":
        return standardization(images)
    if name == "zca":
        return Whitening(images, Whitening.NORM if config.zca_contrast else None, config.zca_bias)
    if name == "lcn":
        return LocalContrast(images)
    return Binary()


class Stored:
    """The split stays uint8: a quarter of the memory, and each batch is scaled as it is drawn."""

    def store(self, images: torch.Tensor) -> torch.Tensor:
        return images


class Affine(Stored):
    """x → (x − shift) / scale. shift = scale = 127.5 is x/127.5 − 1 with exact ends: 0 → −1, 255 → 1."""

    def __init__(self, shift: torch.Tensor, scale: torch.Tensor) -> None:
        self.shift, self.scale = shift, scale

    def to(self, device: torch.device) -> "Affine":
        return Affine(self.shift.to(device), self.scale.to(device))

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
    """Contrast normalization, then ZCA: x → P (x − mean), P = (covariance + bias·I)^(−½).

    Contrast normalization takes an image's own mean from it and scales it to Euclidean norm `norm`; with None the image
    stays u/255. mean, covariance (divisor N) and P are over all C·H·W values of an image. So whitened values have
    covariance Σ (Σ + bias·I)^(−1).

    Norm 55 and bias 0.1 are pylearn2's (make_cifar10_gcn_whitened.py, expr/preprocessing.py, the ZCA of
    datasets/preprocessing.py with its default filter_bias), whose files the BinaryConnect code loads for CIFAR-10. No
    contrast normalization and bias 1e-6 are what the Torch7 code of BinaryNet comes to: it whitens twice, with biases
    0.1 and then 1e-5, which in the eigenbasis of Σ is 1/√(λ + 1e-5 λ + 1e-6). Differs: fitted on the training split;
    pylearn2 fits on all 50,000 training images, which the validation images are among.

    Computed in float64 (a GPU's TensorFloat-32 would not do), stored as float32: four times the memory of uint8.
    """

    NORM = 55.0

    def __init__(self, images: torch.Tensor, norm: float | None = NORM, bias: float = 0.1) -> None:
        self.norm = norm
        size = images[0].numel()
        total = torch.zeros(size, dtype=torch.float64, device=images.device)
        square = torch.zeros(size, size, dtype=torch.float64, device=images.device)
        for chunk in images.split(ZCA_CHUNK):
            x = self._before(chunk)
            total += x.sum(0)
            square.addmm_(x.T, x)
        self.mean = total / len(images)
        covariance = square / len(images) - torch.outer(self.mean, self.mean)
        covariance.diagonal().add_(bias)
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        self.matrix = (vectors / eigenvalues.sqrt()) @ vectors.T

    def _before(self, images: torch.Tensor) -> torch.Tensor:
        if self.norm is None:
            return images.flatten(1).double() / 255
        return normalize_contrast(images, self.norm)

    def store(self, images: torch.Tensor) -> torch.Tensor:
        stored = torch.empty(images.shape, dtype=torch.float32, device=images.device)
        for source, target in zip(images.split(ZCA_CHUNK), stored.split(ZCA_CHUNK), strict=True):
            x = (self._before(source) - self.mean) @ self.matrix
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


class LocalContrast(Stored):
    """Global, then local contrast normalization, then one mean and deviation over the training split. Of x = u/255::

        a = (x − mean of the image)/√(variance of the image + 10)
        b = a − blur(a)                                       blur: 9×9 Gaussian of σ = 2, each channel, zeros around
        c = b/(deviation of b over its image and channel + 1e-4)
        (c − mean of c)/deviation of c                        over all values of the training split

    Source: the Torch7 code of BinaryNet for SVHN (Data.lua). Differs: that code also divides by each split's maximum,
    which the last line takes back for the training split; zeros around the image are our reading."""

    SIDE, SIGMA = 9, 2.0

    def __init__(self, images: torch.Tensor) -> None:
        offsets = torch.arange(self.SIDE, device=images.device, dtype=torch.float32) - self.SIDE // 2
        line = torch.exp(-offsets.square() / (2 * self.SIGMA**2))
        self.kernel = torch.outer(line, line) / line.sum() ** 2
        self.mean, self.deviation = 0.0, 1.0
        sums = torch.zeros(2, dtype=torch.float64, device=images.device)
        for chunk in images.split(ZCA_CHUNK):
            c = self(chunk).double()
            sums += torch.stack((c.sum(), c.square().sum()))
        mean, square = (sums / images.numel()).tolist()
        self.mean, self.deviation = mean, max(square - mean**2, 0.0) ** 0.5 or 1.0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        a = x.float().div_(255)
        variance, mean = torch.var_mean(a, (1, 2, 3), correction=0, keepdim=True)
        a = (a - mean).div_((variance + 10).sqrt())
        channels = a.shape[1]
        with torch.autocast(a.device.type, enabled=False):  # in bfloat16 a − blur(a) would be lost
            blurred = F.conv2d(a, self.kernel.expand(channels, 1, -1, -1), padding=self.SIDE // 2, groups=channels)
        b = a - blurred
        c = b / (b.std((2, 3), correction=0, keepdim=True) + 1e-4)
        return (c - self.mean) / self.deviation


def center_crop(images: torch.Tensor, size: int | None) -> torch.Tensor:
    """The middle size×size of [N, C, H, W]; where that is not even, one row or column more is cut at the end."""
    if size is None:
        return images
    top, left = (images.shape[2] - size) // 2, (images.shape[3] - size) // 2
    if top < 0 or left < 0:
        raise UserError(f"dataset.center_crop={size} is larger than the images ({images.shape[2]}×{images.shape[3]})")
    return images[:, :, top : top + size, left : left + size].contiguous()


def check_scaling(config: Any, shape: torch.Size | tuple[int, ...]) -> None:
    """Raises UserError where scaling images of `shape` (C, H, W) so makes no sense."""
    name = config.scaling
    for constants in ("mean", "sd") if name == "constants" else ():
        given = getattr(config, constants)
        if len(given) != shape[0]:
            raise UserError(f"dataset.scaling=constants needs dataset.{constants} of {shape[0]} channels, not {given}")
    if name == "zca" and shape[0] != 3:
        raise UserError("dataset.scaling=zca is for color images (cifar10, svhn): use symmetric or standardize here")
    if name == "zca" and int(np.prod(shape)) > ZCA_LARGEST:
        raise UserError(f"dataset.scaling=zca is for images up to 64×64, not {shape[1]}×{shape[2]}")
