"""Several processes on one study, and processes that are killed: no trial is lost, none is done twice."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from results.record import load
from sweeps.workers import at_work, count_at_work, trials_of
from tests.sweeps.holder import start_holder
from tests.sweeps.tools import EPOCHS, LONG, held_by, kill, records_in, start, wait_for, work
from training.run import Run
from training.train import train


def check_that_all_is_there_once(sweep, total: int) -> None:
    trials, records = trials_of(sweep.study), records_in(sweep.folder)
    assert [(trial.number, trial.state) for trial in trials] == [(n, TrialState.COMPLETE) for n in range(total)]
    assert len({str(trial.user_attrs["values"]) for trial in trials}) == total
    assert sorted(Path(trial.user_attrs["record"]).name for trial in trials) == sorted(records)
    for trial in trials:
        curves = load(Path(trial.user_attrs["record"])).curves
        assert curves["epoch"] == list(range(1, EPOCHS + 1))
        assert trial.intermediate_values == pytest.approx(dict(enumerate(curves["val_error"], 1)), rel=1e-6)
    assert [path.name for path in sweep.folder.iterdir()] == ["records"]


def check_that_it_is_as_if_never_interrupted(sweep, number: int, tmp_path) -> None:
    trial = trials_of(sweep.study)[number]
    folders = {"results_dir": str(tmp_path / "whole"), "output_dir": str(tmp_path / "whole_outputs")}
    run = Run(replace(sweep.trial_run(trial).config, **folders))
    train(run)
    whole, ours = load(run.record_path), load(Path(trial.user_attrs["record"]))
    assert whole.curves["train_loss"] == ours.curves["train_loss"]
    assert whole.validation == ours.validation


@pytest.mark.slow
def test_one_of_two_workers_is_killed_and_another_does_its_trial(make, tmp_path, capsys):
    settings = [*LONG, "trials=4"]
    sweep = make(*settings)
    sweep.open()
    workers = [start(work, make(*settings), tmp_path / f"out{n}") for n in range(2)]
    number = wait_for(lambda: held_by(sweep, workers[0]), workers[0]).number
    kill(workers[0])
    workers[1].join()
    assert workers[1].exitcode == 0
    again = make(*settings)
    again.run()  # nothing to do, unless the other had ended a moment before the kill
    check_that_all_is_there_once(again, 4)
    pids = [[int(name.split(":")[1]) for name in trial.user_attrs["workers"]] for trial in trials_of(again.study)]
    assert pids[number][0] == workers[0].pid
    assert pids[number][1] in (workers[1].pid, os.getpid())
    assert [len(of_trial) for of_trial in pids] == [1 + (n == number) for n in range(4)]
    output = (tmp_path / "out1").read_text() + capsys.readouterr().out
    assert re.search(rf"resuming after epoch \d+: {again.folder}/trial-{number}/", output)
    check_that_it_is_as_if_never_interrupted(again, number, tmp_path)


@pytest.mark.slow
def test_all_workers_are_killed_and_the_same_command_goes_on(make, tmp_path, capsys):
    settings = [*LONG, "trials=3", f"storage=journal:{tmp_path}/shared/study.log"]
    sweep = make(*settings)
    sweep.open()
    workers = [start(work, make(*settings), tmp_path / f"out{n}") for n in range(2)]
    for worker in workers:
        wait_for(lambda worker=worker: held_by(sweep, worker), worker)
    for worker in workers:
        kill(worker)
    interrupted = [trial.number for trial in trials_of(sweep.study) if trial.state == TrialState.RUNNING]
    ended = sweep.ended()
    assert len(interrupted) == 2
    again = make(*settings)
    assert again.run() == 3 - ended
    check_that_all_is_there_once(again, 3)
    assert len(re.findall(r"resuming after epoch \d+", capsys.readouterr().out)) == 2
    check_that_it_is_as_if_never_interrupted(again, interrupted[0], tmp_path)


def test_killed_between_the_record_and_the_study(make, tmp_path, capsys):
    sweep = make("method=ste", "trials=1")
    sweep.open()
    with sweep.queue.next() as trial:
        train(sweep.trial_run(trials_of(sweep.study)[trial.number]))
    again = make("method=ste", "trials=1")
    assert again.run() == 1
    assert "skipped, the record exists" in capsys.readouterr().out
    (trial,) = trials_of(again.study)
    (record,) = records_in(again.folder).values()
    assert trial.value == pytest.approx(record.validation["error"], rel=1e-6)


def test_killed_before_a_trial_had_its_values(make, tmp_path):
    sweep = make("method=ste", "trials=2", "epochs=1")
    sweep.open()
    sweep.study.ask()
    assert sweep.run() == 2
    assert [trial.state for trial in trials_of(sweep.study)] == [TrialState.COMPLETE] * 2
    whole = make("method=ste", "trials=2", "epochs=1", f"storage=sqlite:///{tmp_path}/other.db")
    whole.open()
    for number in range(2):
        trial = whole.study.ask()
        assert whole.space.suggest(trial) == trials_of(sweep.study)[number].user_attrs["values"]
        whole.study.tell(trial, trials_of(sweep.study)[number].value)


def test_machines_without_a_common_disk(make):
    """As with a database server: a trial without a lock file here is another machine's, until `takeover`."""
    here, there = (make("method=ste", "trials=2", "epochs=1") for _ in range(2))
    for sweep in (here, there):
        sweep.open()
        sweep.queue.one_disk = False
    there.queue.locks = there.queue.locks / "there"
    there.queue.locks.mkdir()
    with there.queue.next() as taken, here.queue.next() as other:
        assert (taken.number, other.number) == (0, 1)
    with here.queue.next() as trial:
        assert trial.number == 1  # interrupted here: its lock file is here
        here.study.tell(trial, 1.0)
    with here.queue.next() as trial:
        assert trial is None
    here.queue.takeover = True
    with here.queue.next() as trial:
        assert trial.number == 0


def test_of_two_machines_that_take_the_last_trial_at_once_one_steps_back(make, monkeypatch):
    here, there = (make("method=ste", "trials=2", "epochs=1") for _ in range(2))
    here.open()
    there.open()
    with here.queue.next() as trial:
        here.study.tell(trial, 1.0)
    ask = here.study.ask

    def later():
        there.study.ask()  # between the look at the count and the new trial
        return ask()

    monkeypatch.setattr(here.study, "ask", later)
    with here.queue.next() as trial:
        assert trial is None
    assert [trial.number for trial in trials_of(here.study)] == [0, 1]
    assert len(here.study.trials) == 3


@pytest.mark.slow
def test_a_trial_that_is_held_is_left_alone(make, tmp_path):
    sweep = make("method=ste", "trials=1")
    sweep.open()
    trial = sweep.study.ask()
    process = start_holder(sweep.queue.locks / str(trial.number), tmp_path / "held")
    wait_for((tmp_path / "held").exists, process)
    with sweep.queue.next() as found:
        assert found is None
    kill(process)
    with sweep.queue.next() as found:
        assert found.number == trial.number


def test_processes_at_work_are_counted_and_killed_ones_are_not(tmp_path):
    assert count_at_work(tmp_path / "none") == 0
    with at_work(tmp_path / "workers"):
        assert count_at_work(tmp_path / "workers") == 1
        process = start_holder(tmp_path / "workers/other-1", tmp_path / "held")
        wait_for((tmp_path / "held").exists, process)
        assert count_at_work(tmp_path / "workers") == 2
        kill(process)
        assert count_at_work(tmp_path / "workers") == 1
    assert count_at_work(tmp_path / "workers") == 0
    assert not list((tmp_path / "workers").iterdir())
