"""Hydra's launchers: jobs in processes of their own, through joblib and through submitit's local executor."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps.tools import records_in

pytestmark = pytest.mark.slow  # processes of their own

ROOT = Path(__file__).parent.parent.parent
SMALL = ["dataset=digits", "device=cpu", "compile=false", "epochs=1", "save_weights=false"]


@pytest.fixture
def launch(tmp_path):
    def start(*words: str) -> subprocess.CompletedProcess[str]:
        folders = [
            f"{name}={tmp_path}/{folder}" for name, folder in (("results_dir", "runs"), ("output_dir", "outputs"))
        ]
        command = [sys.executable, *words, *SMALL, *folders]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    return start


def test_a_suite_through_submitit(launch, tmp_path):
    suite = ["suite=digits", "methods=[real],[ste]", "replicates=1", "trials=2", "net.width=8", "net.depth=1"]
    own = [f"tuned_dir={tmp_path}/tuned"]
    done = launch("-m", "sweeps.suite", "-m", *suite, *own, "hydra/launcher=submitit_local")
    assert done.returncode == 0, done.stderr
    records = [(r.config["method"]["name"], r.config["seed"]) for r in records_in(tmp_path / "runs").values()]
    assert sorted(records) == [("real", 1001), ("real", 1002), ("ste", 1001), ("ste", 1002)]
    assert sorted(path.stem for path in (tmp_path / "tuned/digits").iterdir()) == ["real", "ste"]
    assert len(list((tmp_path / "outputs/.submitit").glob("*/*_result.pkl"))) == 2  # a job each


def test_failed_jobs_of_a_grid_through_joblib(launch, tmp_path):
    grid = ["method=real", "net=tiny", "loss=squared_hinge", "method.lr=1e30,0.01,1e31"]
    done = launch("run.py", "-m", *grid, "hydra/launcher=joblib")
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told == 3 * ["error: the training loss became nan in epoch 1"]  # by each job, and once by the command
    status = {r.config["method"]["lr"]: r.status for r in records_in(tmp_path / "runs").values()}
    assert status == {1e30: "failed", 0.01: "done", 1e31: "failed"}
