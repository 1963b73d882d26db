import pytest

from training.selection import lowest


@pytest.mark.parametrize(
    ("errors", "chosen"), [([3.0], 0), ([3.0, 2.0, 4.0], 1), ([2.0, 1.0, 1.0], 1), ([1, 1, 0.5, 0.5], 2)]
)
def test_the_lowest_is_chosen_and_of_equals_the_earliest(errors, chosen):
    assert lowest(errors) == chosen


def test_of_nothing_nothing_is_chosen():
    with pytest.raises(ValueError, match="empty"):
        lowest([])
