"""Data that the runs of a process share: the same runs, read once, within the bound on memory."""

import pytest

from datamodules.digits import Digits
from training.data import KeptData, keep_data, open_data
from training.train import train
from training.trainer import pick_device


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Each time that digits' files are read."""
    made = []
    read = Digits.read_train
    monkeypatch.setattr(Digits, "read_train", lambda self: (made.append("train"), read(self))[1])
    return made


def test_runs_that_share_their_data_are_the_same_runs(configure, reads, tmp_path):
    apart, shared = {}, {}
    seeds = [("seed=1", "batch_size=50"), ("seed=2", "batch_size=100"), ("seed=1", "dataset.augment=crop")]
    for words in seeds:
        apart[words] = train(configure(*words, f"results_dir={tmp_path}/apart"))
    assert len(reads) == 3
    with keep_data():
        for words in seeds:
            shared[words] = train(configure(*words, f"results_dir={tmp_path}/shared"))
    assert len(reads) == 5  # once for two seeds and batch sizes, once for the augmented images
    for words in seeds:
        assert shared[words].run_id == apart[words].run_id
        assert shared[words].data == apart[words].data
        assert shared[words].curves["train_loss"] == apart[words].curves["train_loss"]
        assert shared[words].test == apart[words].test


@pytest.mark.parametrize(
    "other", ["split_seed=1", "limit_train=100", "dataset.scaling=binary", "dataset.center_crop=6"]
)
def test_what_is_split_or_scaled_otherwise_is_read_anew(configure, reads, other):
    device = pick_device("cpu")
    with keep_data():
        first = open_data(configure().config, device)
        changed = open_data(configure(other).config, device)
        again = open_data(configure("seed=5").config, device)
    assert len(reads) == 2
    assert changed.fingerprint != first.fingerprint or not (
        next(iter(changed.val_dataloader()))[0].equal(next(iter(first.val_dataloader()))[0])
    )
    assert again.val_dataloader() is first.val_dataloader()
    assert (again.seed, again.train_dataloader().seed, first.seed, first.train_dataloader().seed) == (5, 5, 0, 0)


def test_the_newest_data_are_kept_within_the_bound(configure):
    one, two, three = (open_data(configure(f"split_seed={seed}").config, pick_device("cpu")) for seed in range(3))
    examples = (one.sizes["train"] or 0) + (one.sizes["validation"] or 0)
    assert one.bytes() == examples * (8 * 8 + 8)  # a byte a pixel, an int64 a label
    size = max(data.bytes() for data in (one, two, three))
    kept = KeptData(limit=2 * size)
    for key, data in (("one", one), ("two", two)):
        kept.keep(key, data)
    assert kept.get("one") is one  # used now, so that two is the oldest
    kept.keep("three", three)
    assert list(kept.sets) == ["one", "three"]
    small = KeptData(limit=size // 2)
    small.keep("one", one)
    assert small.get("one") is None
