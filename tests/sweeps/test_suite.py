"""Suites: every method tuned and run, once; what is left, what failed, and methods that come new."""

import re
from pathlib import Path

import hydra
import pytest

import sweeps.space
from configs.schema import CONFIGS, register, resolve
from datamodules import DATASETS
from methods import METHODS
from methods.nets import NETS
from sweeps import suite
from sweeps.entry import make_entries, table
from sweeps.settings import SuiteConfig, register_schemas
from tests.sweeps.tools import records_in

SUITES = sorted(path.stem for path in Path(CONFIGS, "suite").glob("*.yaml"))


@pytest.fixture
def settings(small, tmp_path) -> list[str]:
    """The suite `digits` with runs of a fraction of a second."""
    own = ["epochs=1", "net.width=8", "net.depth=1", "trials=2", "seeds=[1,2]", f"results_dir={tmp_path}/runs"]
    return ["suite=digits", *(word for word in small if word not in ("dataset=digits", "net=tiny", "epochs=2")), *own]


@pytest.fixture
def configure(settings):
    def configure(*more: str) -> SuiteConfig:
        register()
        register_schemas()
        with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
            config = resolve(hydra.compose("suite", [*settings, "label=digits", *more]))
        assert isinstance(config, SuiteConfig)
        return config

    return configure


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_one_valid_file(name):
    register()
    register_schemas()
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        config = resolve(hydra.compose("suite", [f"suite={name}"]))
    assert isinstance(config, SuiteConfig)
    entries = make_entries(config, {})
    assert [entry.name for entry in entries] == list(METHODS)
    assert config.trials >= 10
    assert len(config.seeds) >= 3
    assert config.seed not in config.seeds  # the seed that tunes measures nothing
    data = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}
    assert config.dataset.name in DATASETS.keys() & data.keys()
    shape = data[config.dataset.name]
    if side := config.dataset.center_crop:
        shape = (shape[0], side, side)
    assert config.net.name in NETS
    METHODS["bop"](METHODS["bop"].Config(), config.net, shape, 10, config.loss)


def test_the_suites_that_there_are():
    assert {"digits", "mnist", "mnist_bernoulli", "cifar10_small", "cifar10", "svhn"} <= set(SUITES)


def test_every_method_is_tuned_and_run_and_the_second_time_nothing_is_done(settings, call, tmp_path):
    outcome = call(suite, *settings)
    assert outcome.status == 0, outcome.err
    tuned, runs = tmp_path / "tuned/digits", records_in(tmp_path / "runs")
    assert sorted(path.stem for path in tuned.iterdir()) == sorted(METHODS)
    seeds = sorted((record.config["method"]["name"], record.config["seed"]) for record in runs.values())
    assert seeds == sorted((name, seed) for name in METHODS for seed in (1, 2))
    assert all(record.test for record in runs.values())
    trials = records_in(tmp_path / "outputs/sweeps")
    assert {record.config["seed"] for record in trials.values()} == {0}
    assert len(trials) == 2 * len(METHODS)
    for name in METHODS:
        assert re.search(rf"^  {name} +0/2 +0/2 +4 to do", outcome.out, re.M)
        assert re.search(rf"^  {name} +2/2 +2/2 +done$", outcome.out, re.M)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.suffix in (".json", ".yaml")}
    again = call(suite, *settings)
    assert again.status == 0
    assert again.err == ""
    assert len(re.findall(r" done$", again.out, re.M)) == len(METHODS)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert records_in(tmp_path / "runs").keys() == runs.keys()


def test_the_same_command_on_another_machine_takes_the_tuned_files(settings, call, tmp_path):
    few = [*settings, "methods=[ste]"]
    assert call(suite, *few).status == 0
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")  # the study stayed where it was made
    outcome = call(suite, *few, "seeds=[1,2,3]")
    assert outcome.status == 0
    assert len(records_in(tmp_path / "runs")) == 3
    assert not (tmp_path / "outputs/sweeps").exists()


def test_other_terms_are_tuned_anew(settings, call, tmp_path):
    few = [*settings, "methods=[ste]", "seeds=[1]"]
    assert call(suite, *few).status == 0
    file = tmp_path / "tuned/digits/ste.yaml"
    first = file.read_text()
    assert call(suite, *few, "trials=3").status == 0
    assert "3 trials" in file.read_text()
    assert call(suite, *few, "epochs=2").status == 0
    assert re.search("study .*", file.read_text())[0] != re.search("study .*", first)[0]
    assert {record.config["epochs"] for record in records_in(tmp_path / "runs").values()} == {1, 2}


def test_a_method_without_a_search_space_runs_with_its_defaults(settings, call, tmp_path, monkeypatch):
    spaces = tmp_path / "spaces"
    spaces.mkdir()
    (spaces / "ste.yaml").write_text((sweeps.space.SPACES / "ste.yaml").read_text())
    monkeypatch.setattr(sweeps.space, "SPACES", spaces)
    outcome = call(suite, *settings, "methods=[ste,bop]", "trials=1", "seeds=[1]")
    assert outcome.status == 0, outcome.err
    assert re.search(r"^  ste +1/1 +1/1 +done$", outcome.out, re.M)
    assert re.search(r"^  bop +untuned +1/1 +done$", outcome.out, re.M)
    runs = records_in(tmp_path / "runs")
    (bop,) = (record.config["method"] for record in runs.values() if record.config["method"]["name"] == "bop")
    assert all(bop[name] == value for name, value in vars(METHODS["bop"].Config()).items())
    assert "# bop has no search space: defaults\n" in (tmp_path / "tuned/digits/bop.yaml").read_text()


def test_a_run_that_fails_is_shown_and_the_others_go_on(settings, call, tmp_path):
    few = [*settings, "methods=[ste,real]", "trials=1", "loss=squared_hinge"]
    assert call(suite, *few, "seeds=[1]").status == 0
    file = tmp_path / "tuned/digits/real.yaml"
    text = file.read_text()
    assert "\nmethod:" not in text  # the only trial had the defaults
    file.write_text(f"{text}\nmethod:\n  lr: 1e30\n")
    outcome = call(suite, *few, "seeds=[2]")
    assert outcome.status == 2
    assert re.search(r"^error: real seed 2: the training loss became (inf|nan) in epoch 1$", outcome.err, re.M)
    assert "Traceback" not in outcome.err
    assert re.search(r"^  real +1/1 +0/1 \(1 failed\) +1 to do", outcome.out, re.M)
    assert re.search(r"^  ste +1/1 +1/1 +done$", outcome.out, re.M)
    runs = records_in(tmp_path / "runs").values()
    statuses = sorted((r.config["method"]["name"], r.config["seed"], r.status) for r in runs)
    assert statuses == [("real", 1, "done"), ("real", 2, "failed"), ("ste", 1, "done"), ("ste", 2, "done")]
    file.write_text(text)
    assert call(suite, *few, "seeds=[2]").status == 0


def test_a_method_that_diverges_is_counted(settings, call, tmp_path, monkeypatch):
    spaces = tmp_path / "spaces"
    spaces.mkdir()
    (spaces / "real.yaml").write_text("tuned: {lr: {log: [1e30, 1e31]}, power: {linear: [1, 2]}}")
    (spaces / "ste.yaml").write_text((sweeps.space.SPACES / "ste.yaml").read_text())
    monkeypatch.setattr(sweeps.space, "SPACES", spaces)
    outcome = call(suite, *settings, "methods=[real,ste]", "loss=squared_hinge", "seeds=[1]")
    assert outcome.status == 2
    assert re.search(
        r"^error: real: real on digits: 2 trials \(2 failed\), none to choose from; .*$", outcome.err, re.M
    )
    assert re.search(r"^  real +2/2 \(2 failed\) +0/1 +1 to do", outcome.out, re.M)
    assert re.search(r"^  ste +2/2 +1/1 +done$", outcome.out, re.M)


def test_the_time_left_is_by_the_records(settings, configure, call, tmp_path):
    few = [*settings, "methods=[ste,bop]", "trials=1", "seeds=[1]"]
    assert call(suite, *few).status == 0
    (record,) = (r for r in records_in(tmp_path / "runs").values() if r.config["method"]["name"] == "ste")
    for path in tmp_path.glob("*/**/ste/*.json"):
        text = path.read_text()
        elapsed = re.search(r'"elapsed_seconds": ([\d.e-]+)', text)
        path.write_text(text.replace(elapsed[0], '"elapsed_seconds": 90.0'))
    for path in tmp_path.glob("*/**/bop/*.json"):
        path.unlink()
    (tmp_path / "tuned/digits/bop.yaml").unlink()
    assert record.config["epochs"] == 1
    config = configure("methods=[ste,bop,real]", "trials=5", "seeds=[1,2,3]", "epochs=4")
    text = table(make_entries(config, {}), "title").splitlines()
    assert text[0] == "title"
    # 4 epochs take 6 min; only ste has records, which serve for the others too
    left = {"ste": 8, "bop": 8, "real": 8}
    for name, count in left.items():
        assert any(re.match(rf"  {name} +0/5 +0/3 +{count} to do, about 48 min$", line) for line in text), text
    assert text[-1].startswith("  in all about 2 h 24 min in one process")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ["say which suite", *SUITES]),
        (["suite=mnits"], ["'mnits'", "did you mean mnist?"]),
        (["suite=digits", "methods=[stee]"], ["'stee'", "did you mean ste?", "bop2nd"]),
        (["suite=digits", "method=ste"], ["method", "methods=[…]"]),
        (["suite=digits", "method.lr=1"], ["method.lr", "methods=[…]"]),
        (["suite=digits", "seed=1"], ["seed", "seeds=[…]"]),
        (["suite=digits", "seeds=[]"], ["seeds=[]", "one or more"]),
        (["suite=digits", "seeds=[1,1]"], ["seeds=[1, 1]", "different"]),
        (["suite=digits", "trials=0"], ["trials=0", "≥ 1"]),
        (["suite=digits", "epoch=1"], ["'epoch'", "did you mean epochs?"]),
    ],
)
def test_what_is_no_suite_is_refused_in_one_line(call, small, arguments, named):
    output = [word for word in small if "_dir" in word]
    outcome = call(suite, *output, *arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", outcome.err), outcome.err
    for word in named:
        assert word in outcome.err


def test_a_plan_trains_nothing(settings, call, tmp_path):
    outcome = call(suite, *settings, "plan=true", "methods=[ste]")
    assert outcome.status == 0
    assert re.search(r"^  ste +0/2 +0/2 +4 to do, time unknown$", outcome.out, re.M)
    assert "no record of this data set and net tells how long a run takes" in outcome.out
    assert list(tmp_path.rglob("*.json")) == []


def test_help_names_the_suites_and_their_settings(call):
    outcome = call(suite, "--help")
    assert outcome.status == 0
    for name in SUITES:
        assert re.search(rf"^  {name}$", outcome.out, re.M)
    for name in ("methods", "seeds", "plan", "trials", "storage"):
        assert re.search(rf"^  {name}=\S+ +\S.{{10,}}$", outcome.out, re.M), name
