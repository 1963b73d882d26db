"""Corruptions against the formulas of their table in scalar arithmetic."""

import math

import numpy as np
import pytest
import torch

from datamodules.corruptions import CORRUPTIONS, corrupt


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (4, 3, 9, 7)).astype(np.uint8))


def test_contrast_halves_the_distance_to_the_mean_of_each_channel(images):
    found = corrupt(images, "contrast")
    for image, other in zip(images.numpy(), found.numpy(), strict=True):
        for before, after in zip(image, other, strict=True):
            mean = before.astype(float).mean()
            assert np.abs(after - np.floor(mean + (before - mean) / 2)).max() <= 1  # 1: float32 just below an integer
            assert np.mean(after != np.floor(mean + (before - mean) / 2)) < 0.1


def test_blur_is_a_gaussian_of_deviation_one_over_nine_pixels_a_side():
    spot = torch.zeros(1, 1, 11, 11, dtype=torch.uint8)
    spot[0, 0, 5, 5] = 255
    line = [math.exp(-(k**2) / 2) for k in range(-4, 5)]
    line = [0.0, *(value / sum(line) for value in line), 0.0]
    expected = [[math.floor(255 * a * b + 1e-9) for b in line] for a in line]
    assert corrupt(spot, "blur")[0, 0].tolist() == expected


def test_blur_goes_on_with_the_nearest_pixel_beyond_the_border_and_keeps_channels_apart():
    halves = torch.zeros(1, 2, 9, 9, dtype=torch.uint8)
    halves[0, 0] = 200
    halves[0, 1, :, 5:] = 255
    blurred = corrupt(halves, "blur")[0]
    assert (blurred[0].int() - 200).abs().max() <= 1
    assert (blurred[1] == blurred[1, :1]).all()
    assert blurred[1, 0, -1] >= 254


def test_noise_has_deviation_a_tenth_and_is_cut():
    grey = torch.full((50, 1, 40, 40), 128, dtype=torch.uint8)
    found = corrupt(grey, "noise").double()
    # the mean of ⌊u⌋ is half a unit lower
    assert found.mean().item() == pytest.approx(127.5, abs=0.5)
    assert found.std().item() == pytest.approx(25.5, rel=0.02)
    dark = corrupt(torch.zeros(50, 1, 40, 40, dtype=torch.uint8), "noise")
    assert (dark == 0).double().mean().item() == pytest.approx(0.5, abs=0.03)  # < 1/255 of N(0, 0.1²): 0.5156


def test_noise_is_the_same_in_every_call_and_differs_between_images(images):
    first, second = corrupt(images, "noise"), corrupt(images, "noise")
    assert torch.equal(first, second)
    same = corrupt(images[:1].repeat(2, 1, 1, 1), "noise")
    assert not torch.equal(same[0], same[1])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_leave_their_input_shape_and_type(name, images):
    before = images.clone()
    found = corrupt(images, name)
    assert torch.equal(images, before)
    assert found.shape == images.shape
    assert found.dtype == torch.uint8
    assert not torch.equal(found, images)
