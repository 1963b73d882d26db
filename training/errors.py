"""How training ends before its time."""


class TrainingError(Exception):
    """Training cannot go on; the text says why. The run leaves a record with this error."""


class StoppedEarlyError(Exception):
    """A callback ended the training on purpose. The run leaves no record."""
