import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from configs.settings import UserError
from datamodules import scaling
from datamodules.base import DataConfig


def random_images(count=400, shape=(3, 5, 4), seed=0):
    """Images whose neighbouring pixels are correlated, so that there is something to whiten."""
    random = np.random.default_rng(seed)
    smooth = random.normal(size=(count, *shape)).cumsum(-1).cumsum(-2)
    levels = np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).round()
    return torch.from_numpy(levels.astype(np.uint8))


def test_symmetric_maps_every_level_to_minus_one_to_one():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = scaling.fit(DataConfig(scaling="symmetric"), levels)(levels).flatten()
    np.testing.assert_allclose(scaled.numpy(), np.arange(256) / 127.5 - 1, rtol=0, atol=1e-7)
    assert scaled[0] == -1
    assert scaled[255] == 1
    assert scaled.dtype == torch.float32


def test_binary_cuts_above_127():
    levels = torch.tensor([0, 127, 128, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    scaled = scaling.fit(DataConfig(scaling="binary"), levels)(levels)
    assert scaled.flatten().tolist() == [-1, -1, 1, 1]
    assert scaled.dtype == torch.float32


def test_standardize_uses_each_channel_of_the_training_images():
    train, other = random_images(), random_images(seed=1)
    train[:, 1] = 7  # a constant channel has deviation 0
    scale = scaling.fit(DataConfig(scaling="standardize"), train)
    values, shown = train.numpy().astype(np.float64), other.numpy().astype(np.float64)
    mean, deviation = values.mean((0, 2, 3), keepdims=True), values.std((0, 2, 3), keepdims=True)
    deviation[:, 1] = 1
    np.testing.assert_allclose(scale(other).numpy(), (shown - mean) / deviation, rtol=1e-5, atol=1e-6)
    assert (scale(train)[:, 1] == 0).all()
    assert (mean[0, 0] != mean[0, 2]).all()


def test_contrast_normalization_gives_mean_0_and_the_norm():
    images = random_images(6)
    images[2] = 9  # a constant image has no contrast
    x = scaling.normalize_contrast(images, 55.0).numpy()
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), [55, 55, 0, 55, 55, 55], rtol=1e-12)
    first = images[0].numpy().reshape(-1).astype(np.float64)
    np.testing.assert_allclose(x[0] @ (first - first.mean()), 55 * np.linalg.norm(first - first.mean()))


@pytest.mark.parametrize("chunk", [scaling.ZCA_CHUNK, 7])
def test_zca_matches_the_formula_and_is_fitted_to_the_training_images(monkeypatch, chunk):
    monkeypatch.setattr(scaling, "ZCA_CHUNK", chunk)
    train, other = random_images(), random_images(50, seed=1)
    whiten = scaling.fit(DataConfig(scaling="zca"), train)

    def normalized(images):
        x = images.numpy().reshape(len(images), -1).astype(np.float64)
        x -= x.mean(1, keepdims=True)
        return 55 * x / np.sqrt((x**2).sum(1, keepdims=True))

    x = normalized(train)
    covariance = np.cov(x.T, bias=True)
    u, s, _ = np.linalg.svd(covariance + 0.1 * np.eye(len(covariance)))
    expected = (normalized(other) - x.mean(0)) @ (u / np.sqrt(s)) @ u.T
    stored = whiten.store(other)
    assert stored.dtype == torch.float32
    assert stored.shape == other.shape
    assert whiten(stored) is stored
    np.testing.assert_allclose(stored.flatten(1).numpy(), expected, rtol=1e-4, atol=1e-5)

    white = whiten.store(train).flatten(1).double().numpy()
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)
    identity = np.linalg.solve(covariance + 0.1 * np.eye(len(covariance)), covariance)
    np.testing.assert_allclose(np.cov(white.T, bias=True), identity, atol=1e-4)
    assert np.linalg.eigvalsh(identity.round(6))[-5:].min() > 0.99  # the strong directions end at variance 1


@pytest.mark.parametrize("name", ["symmetric", "standardize", "binary", "unit", "lcn"])
def test_the_set_stays_uint8_except_for_zca(name):
    images = random_images(5)
    before = images.clone()
    scale = scaling.fit(DataConfig(scaling=name), images)
    assert scale.store(images) is images
    scale(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("size", "top", "left"), [(4, 1, 0), (3, 1, 0), (2, 2, 1), (1, 2, 1)])
def test_center_crop_keeps_the_middle(size, top, left):
    images = random_images(2, (3, 6, 4))
    assert torch.equal(scaling.center_crop(images, size), images[:, :, top : top + size, left : left + size])


def test_center_crop_of_nothing_and_of_too_much():
    images = random_images(2, (1, 6, 4))
    assert scaling.center_crop(images, None) is images
    with pytest.raises(UserError, match=r"center_crop=5 is larger than the images \(6×4\)"):
        scaling.center_crop(images, 5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 65, 64)])
def test_zca_is_refused_for_grey_and_for_large_images(shape):
    with pytest.raises(UserError, match="scaling=zca is for"):
        scaling.check_scaling(DataConfig(scaling="zca"), shape)
    scaling.check_scaling(DataConfig(scaling="symmetric"), shape)
    scaling.check_scaling(DataConfig(scaling="zca"), (3, 64, 64))


def test_unit_and_constants_against_their_formulas():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    u = np.arange(256) / 255
    scaled = scaling.fit(DataConfig(scaling="unit"), levels)(levels)
    np.testing.assert_allclose(scaled.flatten().numpy(), u, rtol=0, atol=1e-7)
    config = DataConfig(scaling="constants", mean=[0.1307, 0.5], sd=[0.3081, 0.25])
    scaled = scaling.fit(config, levels.expand(1, 2, 16, 16))(levels.expand(1, 2, 16, 16))
    np.testing.assert_allclose(scaled[0, 0].flatten().numpy(), (u - 0.1307) / 0.3081, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scaled[0, 1].flatten().numpy(), (u - 0.5) / 0.25, rtol=0, atol=1e-6)


def test_constants_are_one_a_channel():
    config = DataConfig(scaling="constants", mean=[0.5, 0.5, 0.5], sd=[0.2])
    with pytest.raises(UserError, match=r"dataset.sd of 3 channels, not \[0.2\]"):
        scaling.check_scaling(config, (3, 8, 8))


def test_zca_without_contrast_normalization_is_that_of_the_torch7_code():
    """The code whitens twice: with bias 0.1, then with 1e-5 what came out of that."""
    train = random_images()
    config = DataConfig(scaling="zca", zca_contrast=False, zca_bias=1e-6)
    white = scaling.fit(config, train).store(train).flatten(1).numpy()

    def whitened(x, bias):
        x = x - x.mean(0)
        values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        return x @ (vectors / np.sqrt(values + bias)) @ vectors.T

    twice = whitened(whitened(train.flatten(1).numpy() / 255.0, 0.1), 1e-5)
    np.testing.assert_allclose(white, twice, rtol=2e-3, atol=2e-3)


def test_local_contrast_normalization_against_scipy():
    train, other = random_images(30, (3, 12, 11)), random_images(5, (3, 12, 11), seed=1)

    def normalized(images):
        x = images.numpy() / 255.0
        a = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 10)
        b = a - gaussian_filter(a, (0, 0, 2, 2), mode="constant", truncate=2)  # 4 pixels on each side
        return b / (b.std((2, 3), keepdims=True) + 1e-4)

    fitted = scaling.fit(DataConfig(scaling="lcn"), train)
    expected = (normalized(other) - normalized(train).mean()) / normalized(train).std()
    np.testing.assert_allclose(fitted(other).numpy(), expected, rtol=1e-3, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as batch norm's statistics are measured with precision=bf16
        assert torch.equal(fitted(other), fitted(other).float())
        np.testing.assert_allclose(fitted(other).numpy(), expected, rtol=1e-3, atol=1e-4)
