"""Fixtures that several folders use: a composed configuration, and the command line inside this process."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: threads only wait for one another; child processes too

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import hydra
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.global_hydra import GlobalHydra
from torch.utils.data import DataLoader, TensorDataset

import run
import training.train  # noqa: F401  here, so that no command of a test takes long enough to say what it is loading
from configs.schema import CONFIGS, register, resolve
from training.run import Run

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
def configure(overrides) -> Callable[..., Run]:
    """configure("method=real", "epochs=3") → such a run, its configuration checked."""

    def configure(*more: str) -> Run:
        register()
        with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
            return Run(resolve(hydra.compose("run", _last_of_each([*overrides, *more]))))

    return configure


@dataclass
class Outcome:
    """What a command left on the terminal."""

    status: int
    out: str
    err: str


class Command:
    """command("-m", "seed=0,1") runs `python run.py` with these arguments, in this process."""

    def __init__(self, overrides, capfd, monkeypatch) -> None:
        self._overrides, self._capfd, self._monkeypatch = overrides, capfd, monkeypatch

    def arguments(self, *more: str) -> list[str]:
        return _last_of_each([*self._overrides, *more])

    def __call__(self, *more: str) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["run.py", *self.arguments(*more)])
        GlobalHydra.instance().clear()
        self._capfd.readouterr()
        try:
            status = run.main()
        finally:
            GlobalHydra.instance().clear()
        return Outcome(status, *self._capfd.readouterr())


@pytest.fixture
def command(overrides, capfd, monkeypatch) -> Command:
    return Command(overrides, capfd, monkeypatch)


def _last_of_each(arguments: list[str]) -> list[str]:
    """Hydra takes the last of two values, but of two choices of a group it complains; flags come first."""
    chosen = {a.partition("=")[0]: a for a in arguments}
    return sorted(chosen.values(), key=lambda argument: not argument.startswith("-"))


@pytest.fixture
def fit(tmp_path) -> Callable[..., pl.Trainer]:
    """fit(method, x, y, epochs=2) trains a method on a handful of examples, in whole batches and unshuffled."""

    def fit(method, x, y, *, epochs, batch_size=0, precision="32-true", callbacks=()) -> pl.Trainer:
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            precision=precision,
            deterministic=True,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        batches = DataLoader(TensorDataset(x, y), batch_size=batch_size or len(x))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's remarks about loaders and validation
            trainer.fit(method, train_dataloaders=batches)
        return trainer

    return fit


@pytest.fixture
def without_a_key(tmp_path, monkeypatch) -> None:
    """W&B finds no key, no account and no folder but tmp_path, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")  # so that it is put back: Lightning sets it for good
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb_home"))
