"""Fixtures that several folders use: a composed configuration, and the command line inside this process."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: threads only wait for one another; child processes too

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import run
from configs.schema import RunConfig, register, resolve

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture
def overrides(tmp_path) -> list[str]:
    """A run of a second whose every file lies in tmp_path; later overrides win."""
    return [
        "dataset=digits",
        "net=tiny",
        "epochs=2",
        "device=cpu",
        "compile=false",
        "deterministic=true",
        f"data_dir={tmp_path}/data",
        f"results_dir={tmp_path}/runs",
        f"output_dir={tmp_path}/outputs",
    ]


@pytest.fixture
def configure(overrides) -> Callable[..., RunConfig]:
    """configure("method=real", "epochs=3") → the checked configuration of such a run."""

    def configure(*more: str) -> RunConfig:
        register()
        with hydra.initialize_config_dir(run.CONFIGS, version_base="1.3"):
            return resolve(hydra.compose("run", _last_of_each([*overrides, *more])))

    return configure


@dataclass
class Outcome:
    """What a command left on the terminal."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(overrides, capfd, monkeypatch) -> Callable[..., Outcome]:
    """command("-m", "seed=0,1") runs `python run.py` with these arguments, in this process."""

    def command(*more: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["run.py", *_last_of_each([*overrides, *more])])
        monkeypatch.setattr(run, "failures", [])
        GlobalHydra.instance().clear()
        capfd.readouterr()
        try:
            status = run.main()
        finally:
            GlobalHydra.instance().clear()
        return Outcome(status, *capfd.readouterr())

    return command


def _last_of_each(arguments: list[str]) -> list[str]:
    """Hydra takes the last of two values, but of two choices of a group it complains."""
    chosen = {a.partition("=")[0] if "=" in a else a: a for a in arguments}
    return list(chosen.values())


def files(folder: Path) -> list[str]:
    """All files under a folder, relative to it."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
