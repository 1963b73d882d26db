import sys
from collections.abc import Callable
from types import ModuleType

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from configs.schema import CONFIGS, register, resolve
from sweeps.settings import SweepConfig, register_schemas
from sweeps.study import Sweep, make_sweep
from tests.sweeps.tools import Outcome


@pytest.fixture
def small(tmp_path) -> list[str]:
    """A sweep whose trials take a fraction of a second, and whose every file lies in tmp_path."""
    return [
        "dataset=digits",
        "net=tiny",
        "epochs=2",
        "limit_train=300",
        "device=cpu",
        "compile=false",
        "deterministic=true",
        f"data_dir={tmp_path}/data",
        f"output_dir={tmp_path}/outputs",
        f"tuned_dir={tmp_path}/tuned",
    ]


@pytest.fixture
def make(small) -> Callable[..., Sweep]:
    """make("method=bop", "trials=3") → the sweep that this command line asks for."""

    def make(*more: str) -> Sweep:
        register()
        register_schemas()
        with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
            config = resolve(hydra.compose("sweep", [*small, *more]))
        assert isinstance(config, SweepConfig)
        return make_sweep(config, dict(text.partition("=")[::2] for text in more))

    return make


@pytest.fixture
def space(tmp_path) -> Callable[[str], str]:
    """space("tuned: …") writes a search space and returns the setting that names it."""

    def space(text: str) -> str:
        (tmp_path / "space.yaml").write_text(text)
        return f"space={tmp_path}/space.yaml"

    return space


@pytest.fixture
def call(capfd, monkeypatch) -> Callable[..., Outcome]:
    """call(sweeps.suite, "suite=digits") runs `python -m sweeps.suite suite=digits` in this process."""

    def call(module: ModuleType, *arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["-m", *arguments])
        GlobalHydra.instance().clear()
        capfd.readouterr()
        try:
            status = module.main()
        finally:
            GlobalHydra.instance().clear()
        return Outcome(status, *capfd.readouterr())

    return call
