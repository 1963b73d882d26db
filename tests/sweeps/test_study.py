"""A sweep in one process: its trials, its records, what ends early or fails, and the file that it writes."""

import shlex
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

import run
import sweeps.__main__ as command
from configs.schema import CONFIGS, register, resolve
from configs.settings import UserError
from datamodules.digits import Digits
from results.record import load
from sweeps.space import load_space
from sweeps.study import Sweep
from sweeps.tuned import command_of, write_design
from sweeps.workers import trials_of
from tests.sweeps.tools import records_in
from training.run import Run
from training.train import train


def composed(*overrides: str):
    """The configuration of `python run.py` with these arguments."""
    register()
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        return resolve(hydra.compose("run", list(overrides)))


@pytest.fixture
def tuned(make, tmp_path):
    """A finished sweep of Bop with 3 trials, under a label that no committed file has: those are found first."""
    sweep = make("method=bop", "trials=3", "dataset.augment=crop", "label=here")
    assert sweep.run() == 3
    sweep.write_best()
    return sweep


def test_every_trial_is_a_run_with_its_record(tuned):
    trials, records = trials_of(tuned.study), records_in(tuned.folder)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert len(records) == 3
    for trial in trials:
        record = records[Path(trial.user_attrs["record"]).name]
        assert trial.value == pytest.approx(record.validation["error"], rel=1e-6)
        assert trial.intermediate_values == pytest.approx(dict(enumerate(record.curves["val_error"], 1)), rel=1e-6)
        assert trial.user_attrs["values"].keys() == {"lr", "threshold", "gamma", "gamma_end"}
        assert trial.user_attrs["values"].items() <= record.config["method"].items()
        assert record.config["method"]["gamma_schedule"] == "exponential"  # fixed by the space
        assert record.test is None
        assert record.data["sizes"]["test"] is None
        assert len(trial.user_attrs["workers"]) == 1
    assert [path.name for path in tuned.folder.iterdir()] == ["records"]  # no checkpoint and no weights


def test_the_best_is_a_file_that_run_takes_and_the_same_run_as_by_hand(tuned, call, tmp_path, small):
    best = min(trials_of(tuned.study), key=lambda trial: trial.value)
    assert tuned.path == tmp_path / "tuned/here/bop.yaml"
    text = tuned.path.read_text()
    assert f"validation error {best.value:.2f} % in trial {best.number}" in text
    assert f"# study {tuned.name}, 3 trials\n" in text

    by_hand = [f"method.{name}={value}" for name, value in best.user_attrs["values"].items()]
    rest = ["seed=7", *(word for word in small if not word.startswith("tuned_dir"))]
    hand = composed("method=bop", "method.gamma_schedule=exponential", *by_hand, "dataset.augment=crop", *rest)
    taken = ["+tuned=here/bop", f"hydra.searchpath=[file://{tmp_path}]", f"results_dir={tmp_path}/runs"]
    own = ["seed=7", "device=cpu", "compile=false", f"output_dir={tmp_path}/outputs"]  # the rest is in the file
    outcome = call(run, *taken, *own)
    assert outcome.status == 0, outcome.err
    (record,) = records_in(tmp_path / "runs").values()
    assert record.run_id == Run(hand).id
    assert record.test is not None


def test_the_command_in_a_record_makes_the_same_run(tuned):
    for record in records_in(tuned.folder).values():
        program, script, *arguments = shlex.split(record.command)
        assert (program, script) == ("python", "run.py")
        config = composed(*arguments)
        assert Run(config).id == record.run_id
        assert not config.test


@pytest.mark.parametrize(
    "path", ["/it's, a=folder/(1) {2} \\ ü", "/a\\'b", "/back\\", "/plain/folder-1.0", "/data/jörg", "/#,;&$(x)"]
)
def test_a_command_with_awkward_text(path):
    config = composed("dataset=folder", "dataset.center_crop=null", "precision=bf16", "method.glorot_scale=true")
    config.dataset.path = path
    again = composed(*shlex.split(command_of(config))[2:])
    assert again.dataset.path == path
    assert Run(again).id == Run(config).id


def test_more_trials_go_on_where_fewer_ended(make, tuned):
    before = records_in(tuned.folder)
    more = make("method=bop", "trials=4", "dataset.augment=crop", "label=here")
    assert more.name == tuned.name
    assert more.run() == 1
    assert more.run() == 0
    after = records_in(tuned.folder)
    assert len(after) == 4
    assert {name: record.created for name, record in after.items() if name in before} == {
        name: record.created for name, record in before.items()
    }
    more.write_best()
    assert f"# study {tuned.name}, 4 trials\n" in tuned.path.read_text()


@pytest.mark.parametrize(
    "other", ["epochs=3", "seed=1", "search_seed=1", "sampler=random", "pruner=none", "method.power=3", "net.width=9"]
)
def test_another_setting_is_another_study(make, other):
    assert make("method=bop", other).name != make("method=bop").name


@pytest.mark.parametrize("other", ["trials=5", "label=x", "checkpoint_seconds=1", "storage=journal:x", "logger=csv"])
def test_what_does_not_change_a_trial_is_the_same_study(make, other):
    assert make("method=bop", other).name == make("method=bop").name


def test_another_range_is_another_study(make, space):
    names = {make(space(f"tuned: {{lr: {{log: [1e-3, {high}]}}}}")).name for high in ("0.1", "0.2", "0.1")}
    assert len(names) == 2


def test_the_command_line_wins_over_what_the_space_fixes(make):
    assert make("method=bop", "method.gamma_schedule=linear").base.method.gamma_schedule == "linear"
    assert make("method=bop").base.method.gamma_schedule == "exponential"


def test_a_new_study_takes_no_trials_of_an_earlier_one(make):
    words = ("method=bop", "trials=2", "label=here")
    first = make(*words)
    assert first.run() == 2
    (first.folder / "trial-7").mkdir()
    earlier = records_in(first.folder)
    again = make(*words, "storage=journal:" + str(first.folder / "other.log"))
    assert again.folder == first.folder
    assert again.run() == 2
    assert not (first.folder / "trial-7").exists()
    later = records_in(first.folder)
    assert later.keys() == earlier.keys()  # the same values are tried, and trained anew
    seconds = [[record.cost["train_seconds"] for record in found.values()] for found in (earlier, later)]
    assert not set(seconds[0]) & set(seconds[1])


def test_an_experiment_wins_over_what_the_space_fixes(make):
    space = load_space("bop")
    assert space.fixed == {"gamma_schedule": "exponential"}
    config = make("method=bop").config
    chosen = replace(config, method=replace(config.method, gamma_schedule="linear"))
    assert Sweep(chosen, space).base.method.gamma_schedule == "linear"


def test_a_trial_that_fails_is_recorded_and_counted(make, space):
    rates = space("tuned: {lr: {categorical: [1e30, 0.01]}}")
    sweep = make("method=real", "loss=squared_hinge", "epochs=1", "sampler=grid", "trials=2", rates)
    assert sweep.run() == 2
    failed, complete = trials_of(sweep.study)
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert failed.user_attrs["error"].startswith("TrainingError: the training loss became")
    text = sweep.write_best()
    assert "2 trials (1 complete, 1 failed)" in text
    assert "in trial 1: lr=0.01" in text
    statuses = {name.endswith(".failed.json"): record.status for name, record in records_in(sweep.folder).items()}
    assert statuses == {True: "failed", False: "done"}
    assert sweep.run() == 0
    assert [path.name for path in sweep.folder.iterdir()] == ["records"]


def test_nothing_to_choose_from(make, space):
    sweep = make("method=real", "loss=squared_hinge", "trials=2", space("tuned: {lr: {log: [1e30, 1e31]}}"))
    assert sweep.run() == 2
    with pytest.raises(UserError, match=r"2 trials \(2 failed\), none to choose from; the last error: TrainingError: "):
        sweep.write_best()
    assert not sweep.path.exists()


def test_what_the_user_can_put_right_costs_no_trial(make, tmp_path):
    (tmp_path / "outputs/sweeps").mkdir(parents=True)
    sweep = make("method=ste", "trials=1")
    sweep.folder.write_text("in the way")
    with pytest.raises(UserError, match=str(sweep.folder)):
        sweep.run()
    assert sweep.states() == {"running": 1}
    sweep.folder.unlink()
    again = make("method=ste", "trials=1")
    assert again.run() == 1
    (trial,) = trials_of(again.study)
    assert trial.state == TrialState.COMPLETE
    assert len(trial.user_attrs["workers"]) == 2


def test_a_pruned_trial_leaves_no_record(make, space, capsys):
    rates = space("tuned: {lr: {categorical: [0.01, 0.011, 0.012, 0.013, 0.014, 1e-9]}}")
    sweep = make("method=real", "epochs=3", "sampler=grid", "trials=6", rates)
    assert sweep.run() == 6
    *complete, pruned = trials_of(sweep.study)
    assert {trial.state for trial in complete} == {TrialState.COMPLETE}
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [1]  # epoch 1 of 3: a third
    records = records_in(sweep.folder)
    assert len(records) == 5
    assert {record.status for record in records.values()} == {"done"}
    assert [path.name for path in sweep.folder.iterdir()] == ["records"]
    assert "trial 5 (6/6)  pruned after epoch 1  lr=1e-09\n" in capsys.readouterr().out
    assert "6 trials (5 complete, 1 pruned)" in sweep.write_best()


def test_no_way_leads_from_a_sweep_to_the_test_set(call, small, tmp_path, monkeypatch):
    def read_test(self):
        raise AssertionError("the test set was read")

    monkeypatch.setattr(Digits, "read_test", read_test)
    assert call(command, *small, "trials=1", "+test=true").status == 2
    for word in ("test=true", "++test=true"):
        outcome = call(command, *small, "trials=1", word)
        assert outcome.status == 2
        assert outcome.err == "error: test=true is not for a sweep: a sweep reads no test set\n"
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/sly.yaml").write_text("# @package _global_\ntest: true\nrerun: true\n")
    path = f"hydra.searchpath=[file://{tmp_path}]"
    outcome = call(command, *small, "method=real", "trials=1", path, "+experiment=sly")
    assert outcome.status == 0, outcome.err
    (record,) = records_in(tmp_path / "outputs").values()
    assert record.test is None
    assert "test" not in (tmp_path / "tuned/digits/real.yaml").read_text()


def test_a_record_with_a_test_error_is_not_taken_for_a_trial(make, tmp_path):
    sweep = make("method=ste", "trials=1", "epochs=1")
    sweep.run()
    (trial,) = trials_of(sweep.study)
    config = sweep.trial_run(trial).config
    again = Run(replace(config, results_dir=str(tmp_path / "outputs/runs"), test=True))
    assert again.finished() is None
    tested = train(again)
    assert load(Path(trial.user_attrs["record"])).test is None
    assert tested.test is not None
    assert tested.run_id == Path(trial.user_attrs["record"]).stem


def test_the_end_of_a_search_warns_of_a_best_value_at_an_edge(make, tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text("tuned: {lr: {log: [1e-3, 1e-1]}, gamma: {log: [9.9e-4, 1e-3]}}\n")
    sweep = make("method=bop", f"space={space}", "trials=1", "label=edge")
    sweep.run()
    best = sweep.best()
    best.user_attrs["values"] |= {"lr": 0.01, "gamma": 1e-3}
    sweep.best = lambda: best
    text = sweep.write_best()
    assert "  at an edge gamma=0.001 of [0.00099, 0.001]: better values may lie outside the search space\n" in text
    best.user_attrs["values"] |= {"gamma": 9.95e-4}
    assert "at an edge" not in sweep.write_best()


def test_a_command_with_lists():
    config = composed("method.milestones=[3,5]", "method.factors=[0.5,1e-3]", "method.lr_schedule=milestones")
    again = composed(*shlex.split(command_of(config))[2:])
    assert (again.method.milestones, again.method.factors) == ([3, 5], [0.5, 1e-3])
    assert Run(again).id == Run(config).id


def test_a_design_has_the_methods_of_all_commands_that_agree_on_the_rest(tmp_path):
    path = tmp_path / "suite.yaml"
    for epochs, names, expected in (
        (2, ["ste"], ["ste"]),
        (2, ["real", "bop"], ["real", "ste", "bop"]),
        (3, ["bop"], ["bop"]),  # another design
    ):
        write_design(path, composed("dataset=digits", f"epochs={epochs}"), {"replicates": 3, "methods": names})
        content = OmegaConf.load(path)
        assert (content.epochs, content.methods, content.replicates) == (epochs, expected, 3)


def test_a_label_is_the_name_of_a_folder(call, small):
    for label in ("..", "a/b", "../mnist"):
        outcome = call(command, *small, "trials=1", f"label={label}")
        assert outcome.status == 2
        assert outcome.err == f"error: label={label} is not valid: the name of a folder, without / and ..\n"
