import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the published files; tests that need them are skipped where BNN_DATA does not name one."""
    folder = os.environ.get("BNN_DATA")
    if not folder:
        pytest.skip("needs the published data files: set BNN_DATA to the folder that has them")
    return Path(folder)


@pytest.fixture(scope="session")
def mnist_dir(real_data):
    return _with(real_data, "MNIST/raw/train-images-idx3-ubyte")


@pytest.fixture(scope="session")
def cifar10_dir(real_data):
    return _with(real_data, "cifar-10-batches-py/test_batch")


@pytest.fixture(scope="session")
def svhn_subset_dir(real_data):
    return _with(real_data, "svhn_subset/train_32x32.mat")


def _with(folder: Path, file: str) -> Path:
    if not (folder / file).exists():
        pytest.skip(f"needs {file} in BNN_DATA={folder}")
    return folder
