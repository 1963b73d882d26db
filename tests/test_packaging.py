"""What is built from pyproject.toml: folders such as `analysis` or `results` never land in anyone's site-packages."""

import re
import zipfile
from pathlib import Path

import pytest
from hatchling import build

import run

ROOT = Path(run.__file__).resolve().parent


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)  # a build backend works in the current folder


def test_a_wheel_has_no_top_level_package(tmp_path):
    with zipfile.ZipFile(tmp_path / build.build_wheel(str(tmp_path))) as wheel:
        names = wheel.namelist()
    assert len(names) >= 3
    assert [name for name in names if not re.fullmatch(r"[^/]+\.dist-info/.+", name)] == []


def test_an_editable_install_puts_the_checkout_on_the_path(tmp_path):
    with zipfile.ZipFile(tmp_path / build.build_editable(str(tmp_path))) as wheel:
        others = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert [Path(name).suffix for name in others] == [".pth"]
        lines = wheel.read(others[0]).decode().splitlines()
    assert [Path(line).resolve() for line in lines if line] == [ROOT]
