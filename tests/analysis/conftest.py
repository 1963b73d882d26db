"""Figures are closed after each test. The committed results, whatever runs somebody made in this checkout."""

import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from analysis.material import Material, gather
from configs.registry import ROOT


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def committed(tmp_path_factory) -> Path:
    """A folder with the files of results/ and configs/tuned/ that git lists, as they are here; without the runs and
    searches that were made in this checkout, such as the README's first one."""
    folder = tmp_path_factory.mktemp("committed")
    names = ["git", "ls-files", "results", "configs/tuned"]
    listed = subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def committed_material(committed) -> Material:
    return gather(committed / "results", tuned=committed / "configs/tuned")
