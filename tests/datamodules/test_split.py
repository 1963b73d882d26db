import numpy as np
import pytest

from datamodules import split, svhn


def test_the_stream_is_the_frozen_one():
    # RandomState(0).permutation(10) is [2 8 4 9 1 6 7 3 0 5] in every version of numpy
    assert split.draw(10, 4, seed=0).tolist() == [2, 4, 8, 9]


def test_draw_and_rest_are_disjoint_and_complete():
    taken = split.draw(1000, 100, seed=3)
    left = split.rest(1000, taken)
    assert len(taken) == 100
    assert len(left) == 900
    assert sorted([*taken, *left]) == list(range(1000))
    assert (np.diff(taken) > 0).all()
    assert (np.diff(left) > 0).all()


def test_a_smaller_draw_is_part_of_a_larger_one_and_seeds_differ():
    assert set(split.draw(1000, 10, seed=3)) < set(split.draw(1000, 100, seed=3))
    assert set(split.draw(1000, 100, seed=3)) != set(split.draw(1000, 100, seed=4))
    assert len(split.draw(10, 50, seed=3)) == 10


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"count": 5}, [5, 5, 2]),
        ({"share": 0.1}, [20, 4, 0]),
        ({"share": 0.5}, [100, 20, 2]),
        ({"share": 0.1, "most": 9}, [9, 4, 0]),
        ({"count": 5, "most": 3}, [3, 3, 2]),
    ],
)
def test_per_class_counts(how, expected):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [200, 40, 3]))
    taken = split.draw_per_class(labels, 7, **how)
    assert np.bincount(labels[taken], minlength=3).tolist() == expected
    assert (np.diff(taken) > 0).all()
    assert not np.array_equal(taken, split.draw_per_class(labels, 8, **how))
    np.testing.assert_array_equal(taken, split.draw_per_class(labels, 7, **how))


def test_a_class_is_never_taken_whole():
    assert split.draw_per_class(np.array([0, 1, 1]), 0, count=9).tolist() in ([1], [2])


def test_svhn_takes_400_a_digit_from_train_and_200_from_extra():
    random = np.random.default_rng(0)
    labels = random.integers(10, size=30_000)
    taken = svhn.validation(labels, 12_000, seed=1)
    assert np.bincount(labels[taken[taken < 12_000]]).tolist() == [400] * 10
    assert np.bincount(labels[taken[taken >= 12_000]]).tolist() == [200] * 10
    assert len(np.unique(taken)) == 6000
    without_extra = svhn.validation(labels[:12_000], 12_000, seed=1)
    assert np.bincount(labels[without_extra]).tolist() == [400] * 10
