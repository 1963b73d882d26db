"""Which of several is chosen by its validation error: of epochs, and of the trials of a search."""

from collections.abc import Sequence


def lowest(errors: Sequence[float]) -> int:
    """The index of the lowest error, the earliest of equals. ValueError where there is none."""
    return min(range(len(errors)), key=lambda i: errors[i])
