"""Several processes on one study in PostgreSQL: a real server, started for these tests."""

import sys

import pytest
from optuna.trial import TrialState

from sweeps.workers import trials_of
from tests.sweeps.tools import EPOCHS, LONG, held_by, kill, records_in, start, wait_for, work


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
    # PostgreSQL gives a trial's epochs in no order
    assert [sorted(trial.intermediate_values) for trial in trials] == [list(range(1, EPOCHS + 1))] * 4
    assert len(records_in(again.folder)) == 4
    assert str(again.path) in again.write_best()
