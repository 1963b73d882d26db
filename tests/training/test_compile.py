"""Compilation changes only the speed: without a compiler a run goes on, and says so in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_without_a_compiler_a_run_goes_on_uncompiled(tmp_path):
    places = [f"results_dir={tmp_path / 'runs'}", f"output_dir={tmp_path / 'out'}"]
    # an empty cache: what was compiled before on this machine must not help
    environment = os.environ | {
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "run.py", "net=tiny", "epochs=1", "device=cpu", "compile=true", *places],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("compile:")]
    assert len(said) == 1
    assert "uncompiled" in said[0]
    (record,) = (tmp_path / "runs" / "ste").glob("*.json")
    assert json.loads(record.read_text())["status"] == "done"
