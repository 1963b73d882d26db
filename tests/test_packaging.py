"""What is built from pyproject.toml: the package `binarized`, of the same files that the benchmark uses."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hatchling import build

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = {"binary": "methods/binary", "optim": "methods/optim", "packed": "packed"}
USE = """
import importlib, pkgutil, sys
import torch, binarized.binary, binarized.optim
from binarized.binary.layers import BinaryLinear
from binarized.binary.sign import ActivationSign, WeightSign
from binarized.optim import Bop, Bop2ndOrder

for package in (binarized.binary, binarized.optim):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
w = torch.nn.Parameter(torch.ones(3))
optimizer = Bop([w], gamma=0.5, threshold=0.1)
(w * torch.tensor([2.0, 0.2, -2.0])).sum().backward()
optimizer.step()
assert w.tolist() == [-1.0, 1.0, 1.0]
assert BinaryLinear(4, 2, WeightSign())(torch.ones(1, 4)).abs().max() <= 4

import numpy as np
from binarized import packed
from binarized.packed.fold import fold

net = torch.nn.Sequential(
    torch.nn.Flatten(), BinaryLinear(16, 20, WeightSign()), torch.nn.BatchNorm1d(20), ActivationSign(),
    BinaryLinear(20, 3, WeightSign()), torch.nn.BatchNorm1d(3),
).eval()
net[2].running_mean.fill_(0.1)  # sums of inputs are multiples of 1/127.5: none is at this threshold, float or exact
packed.save(fold(net, (1, 4, 4), "symmetric"), "net.safetensors")
u = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4)).astype(np.uint8)
runner = packed.engine(packed.load("net.safetensors"))
assert runner.name == "fast"
with torch.no_grad():
    assert (runner.logits(u) == net((torch.from_numpy(u) - 127.5) / 127.5).numpy()).all()
assert not {"methods", "configs", "pytorch_lightning", "hydra"} & sys.modules.keys()
"""


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)  # a build backend works in the current folder


def build_wheel(folder: Path) -> Path:
    return folder / build.build_wheel(str(folder))


def test_a_wheel_has_optimizers_and_layers_under_one_name(tmp_path):
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        needs = {line for name in wheel.namelist() if name.endswith("METADATA") for line in
                 wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist")}  # fmt: skip
        for room, folder in SHIPPED.items():
            files = {f"binarized/{room}/{path.name}": path for path in (ROOT / folder).iterdir() if path.is_file()}
            assert {name for name in names if name.startswith(f"binarized/{room}/")} == files.keys()
            assert all(wheel.read(name) == path.read_bytes() for name, path in files.items())
            names -= files.keys()
    assert names == set()
    required = {re.split(r"[<>=!; ]", line.removeprefix("Requires-Dist: "))[0] for line in needs if "extra" not in line}
    assert required == {"torch", "numpy"}


def test_an_editable_install_puts_the_checkout_on_the_path(tmp_path):
    with zipfile.ZipFile(tmp_path / build.build_editable(str(tmp_path))) as wheel:
        others = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert [Path(name).suffix for name in others] == [".pth"]
        lines = wheel.read(others[0]).decode().splitlines()
    assert [Path(line).resolve() for line in lines if line] == [ROOT]


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    if not (uv := shutil.which("uv")):
        pytest.skip("uv, which makes the environment, is not on the path")
    python = tmp_path / "venv/bin/python"
    subprocess.run([uv, "venv", "--quiet", str(tmp_path / "venv")], check=True)
    wheel = f"{build_wheel(tmp_path)}[packed]"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), wheel], check=True)
    done = subprocess.run([str(python), "-c", USE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
