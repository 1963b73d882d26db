import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from sqlalchemy import create_engine

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


def _programs() -> Path | None:
    """Debian keeps them out of the path, by version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return folders[-1] if folders else Path(found).parent if found else None


@pytest.fixture(scope="session")
def server():
    """The URL of an empty database that listens on a socket in a folder of its own."""
    programs = _programs()
    if not programs:
        pytest.skip("needs PostgreSQL's programs (Debian: apt install postgresql)")
    try:
        create_engine("postgresql://")
    except ImportError as error:
        pytest.skip(f"needs a driver for PostgreSQL: {error}")
    user = "nobody" if os.getuid() == 0 else None  # the server refuses to be root
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path has 107 characters at most
    try:
        if user:
            shutil.chown(folder, user)

        def call(*words: str) -> None:
            done = subprocess.run(words, user=user, capture_output=True, text=True, cwd=folder, timeout=120)
            if done.returncode:
                pytest.skip(f"PostgreSQL does not start here: {done.stderr.strip() or done.stdout.strip()}")

        call(f"{programs}/initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres", "--no-sync")
        options = f"-c listen_addresses= -c fsync=off -k {folder}"
        call(f"{programs}/pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            call(f"{programs}/pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
