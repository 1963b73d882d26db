import numpy as np
import pytest
import torch

from datamodules.batches import CROP_PADDING, EVALUATION_BATCH, Batches
from datamodules.loader import Share

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def make(count=23, size=(3, 6, 5), batch_size=8, seed=5, augment="none", device="cpu"):
    """Random images whose label is their index."""
    images = torch.randint(256, (count, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Batches(
        images.to(device),
        torch.arange(count, device=device),
        batch_size,
        lambda x: x.float(),
        seed=seed,
        augment=augment,
    ), images


def collect(batches):
    xs, ys = zip(*batches, strict=True)
    return torch.cat(xs).cpu(), torch.cat(ys).cpu()


@pytest.mark.parametrize("device", DEVICES)
def test_training_gives_each_example_once_an_epoch_with_its_label(device):
    batches, images = make(device=device)
    sizes = [len(y) for _, y in batches]
    x, y = collect(batches)
    assert sizes == [8, 8, 7]
    assert len(batches) == 3
    assert sorted(y.tolist()) == list(range(23))
    assert torch.equal(x, images[y].float())
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


@pytest.mark.parametrize(("count", "expected"), [(16, [8, 8]), (17, [8, 8]), (18, [8, 8, 2]), (3, [3])])
def test_only_a_last_training_batch_of_one_is_left_out(count, expected):
    batches, _ = make(count)
    assert [len(y) for _, y in batches] == expected
    assert len(batches) == len(expected)
    assert len(set(collect(batches)[1].tolist())) == sum(expected)


def test_evaluation_gives_all_in_order():
    batches, images = make(2 * EVALUATION_BATCH + 1, batch_size=EVALUATION_BATCH, seed=None)
    x, y = collect(batches)
    assert [len(y) for _, y in batches] == [EVALUATION_BATCH, EVALUATION_BATCH, 1]
    assert len(batches) == 3
    assert torch.equal(y, torch.arange(len(images)))
    assert torch.equal(x, images.float())


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_an_epoch_is_a_function_of_seed_and_epoch_alone(augment):
    batches, _ = make(augment=augment)
    batches.set_epoch(3)
    first = collect(batches)
    batches.set_epoch(1)
    collect(batches)  # another epoch between
    torch.manual_seed(99)  # and another state of the global generator
    batches.set_epoch(3)
    again = collect(batches)
    fresh, _ = make(augment=augment)
    fresh.set_epoch(3)
    for other in (again, collect(fresh)):
        assert torch.equal(first[0], other[0])
        assert torch.equal(first[1], other[1])


def test_the_epoch_counts_when_the_first_batch_is_asked_for():
    batches, _ = make()
    early = iter(batches)
    batches.set_epoch(4)
    labels = torch.cat([y for _, y in early])
    assert torch.equal(labels, collect(batches)[1])


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    collect(make(augment="crop_flip")[0])
    assert torch.equal(state, torch.get_rng_state())


def test_seeds_and_epochs_all_give_different_orders():
    batches, _ = make(50)
    pairs = [(seed, epoch) for seed in (0, 1, 2, 2**32, 2**32 + 1) for epoch in (0, 1, 2)]
    orders = {tuple(batches.draws(seed, epoch)[0].tolist()) for seed, epoch in pairs}
    assert len(orders) == len(pairs)


def test_augmentation_does_not_change_the_order():
    plain, cropped = make(augment="none")[0], make(augment="crop_flip")[0]
    assert torch.equal(collect(plain)[1], collect(cropped)[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("augment", ["crop", "crop_flip"])
@pytest.mark.parametrize("size", [(3, 32, 32), (1, 6, 5), (2, 3, 9)])
def test_crop_and_mirror_match_a_loop_over_images(size, augment, device):
    batches, images = make(300, size, batch_size=64, augment=augment, device=device)
    batches.set_epoch(2)
    x, y = collect(batches)
    order, down, right, mirror = (draw.numpy() for draw in batches.draws(5, 2))
    _, height, width = size
    pad = CROP_PADDING
    expected = []
    for k, index in enumerate(order):
        padded = np.zeros((size[0], height + 2 * pad, width + 2 * pad), np.uint8)
        padded[:, pad : pad + height, pad : pad + width] = images[index].numpy()
        crop = padded[:, down[k] : down[k] + height, right[k] : right[k] + width]
        expected.append(crop[:, :, ::-1] if augment == "crop_flip" and mirror[k] else crop)
    np.testing.assert_array_equal(y.numpy(), order)
    np.testing.assert_array_equal(x.numpy(), np.stack(expected))


def test_every_place_and_both_mirrorings_are_drawn_equally_often():
    count = 40_000
    batches, _ = make(count, (1, 2, 2), augment="crop_flip")
    _, down, right, mirror = batches.draws(0, 0)
    places = torch.bincount(down * 9 + right, minlength=81).double()
    assert (down.min(), down.max(), right.min(), right.max()) == (0, 8, 0, 8)
    assert len(places) == 81
    deviation = (count / 81 * (1 - 1 / 81)) ** 0.5
    assert (places - count / 81).abs().max() < 5 * deviation
    assert abs(int(mirror.sum()) - count / 2) < 4 * (count / 4) ** 0.5


def test_images_may_lie_in_memory_in_any_order():
    images = torch.randint(256, (20, 4, 5, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels = torch.arange(20)
    batches = Batches(images, labels, 8, lambda x: x.float(), seed=0)
    x, y = collect(batches)
    assert torch.equal(x, images[y].float())


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("count", [24, 25, 27, 29, 31])
def test_processes_share_each_batch_and_together_have_the_one_that_one_process_has(processes, count):
    whole, _ = make(count, batch_size=12, augment="crop_flip")
    parts = [list(whole.shared(Share(rank, processes))) for rank in range(processes)]
    last = count % 12
    assert [len(part) for part in parts] == [2 + (last >= 2 * processes)] * processes
    for k, (xs, (x, y)) in enumerate(zip(zip(*parts, strict=True), whole, strict=False)):
        assert torch.equal(torch.cat([x for x, _ in xs]), x)
        assert torch.equal(torch.cat([y for _, y in xs]), y)
        sizes = [len(y) for _, y in xs]
        assert sum(sizes) == whole.whole_size(k)
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 2


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_an_evaluated_set_without_repeating_an_example(processes):
    whole, images = make(23, batch_size=4, seed=None)
    parts = [whole.shared(Share(rank, processes)) for rank in range(processes)]
    collected = [collect(part) for part in parts]
    assert torch.equal(torch.cat([x for x, _ in collected]), images.float())
    assert torch.cat([y for _, y in collected]).tolist() == list(range(23))
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]
    assert [y.tolist() for _, y in parts[0].whole()] == [y.tolist() for _, y in whole]
