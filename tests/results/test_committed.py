"""The committed records are those of the present settings: the run of each still has its id."""

from pathlib import Path
from typing import Any

import pytest

from configs.registry import GROUPS, ROOT
from configs.schema import RunConfig
from results.record import failed_files, load, record_files
from training.run import Run

RUNS = ROOT / "results" / "runs"
ELSEWHERE = {  # settings that are no part of a record
    "logger": {},
    "device": "cpu",
    "compile": None,
    "deterministic": False,
    "diagnostics": True,
    "test": True,
    "data_dir": "data",
    "results_dir": "results/runs",
    "output_dir": "outputs",
    "save_weights": True,
    "packed_dir": None,
    "checkpoint_seconds": 30.0,
    "rerun": False,
}


def run_of(config: dict[str, Any]) -> Run:
    """The run that a record's configuration describes, settings that came later at their defaults."""
    groups = {group: classes[config[group]["name"]].Config(**config[group]) for group, classes in GROUPS.items()}
    return Run(RunConfig(**(config | groups | ELSEWHERE)))


def test_the_folder_has_records():
    assert len(record_files(RUNS)) > 200


@pytest.mark.parametrize("method", sorted(path.name for path in RUNS.iterdir()))
def test_every_record_is_found_under_the_id_of_its_run(method):
    for path in [*record_files(RUNS, method), *(p for p in failed_files(RUNS) if p.parent.name == method)]:
        record = load(path)
        run = run_of(record.config)
        assert run.id == record.run_id == path.name.partition(".")[0], path
        assert Path(run.record_path).name == f"{record.run_id}.json"
