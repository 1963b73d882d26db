"""Several processes on one study in PostgreSQL: a real server, started for this test."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import create_engine

from sweeps.workers import trials_of
from tests.sweeps.tools import EPOCHS, LONG, held_by, kill, records_in, start, wait_for, work


def _programs() -> Path | None:
    """Debian keeps them out of the path, by version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return folders[-1] if folders else Path(found).parent if found else None


@pytest.fixture(scope="module")
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="starts a server as Debian has it")
def test_workers_share_a_study_and_do_what_a_killed_one_left(server, make, tmp_path):
    settings = [*LONG, "trials=4", f"storage='{server}'"]
    sweep = make(*settings)
    sweep.open()
    workers = [start(work, make(*settings), tmp_path / f"out{n}") for n in range(2)]
    number = wait_for(lambda: held_by(sweep, workers[0]), workers[0]).number
    kill(workers[0])
    workers[1].join()
    assert workers[1].exitcode == 0
    again = make(*settings)
    again.run()
    trials = trials_of(again.study)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len(trials[number].user_attrs["workers"]) == 2
    assert [list(trial.intermediate_values) for trial in trials] == [list(range(1, EPOCHS + 1))] * 4
    assert len(records_in(again.folder)) == 4
    assert str(again.path) in again.conclude()
