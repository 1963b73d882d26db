"""Suites: every method tuned and run, once; what is left, what failed, and methods that come new."""

import json
import re
from pathlib import Path

import hydra
import pandas as pd
import pytest
from omegaconf import OmegaConf

import run
import sweeps.code
import sweeps.space
from analysis.page.from_records import content_of
from analysis.rebuild import gather
from analysis.rebuild import tables as tables_of
from configs.replicates import replicate_of, run_seeds, trial_seed
from configs.schema import CONFIGS, register, resolve
from datamodules import DATASETS
from methods import METHODS
from methods.nets import NETS
from sweeps import suite
from sweeps.plan import table
from sweeps.replicate import make_replicates
from sweeps.settings import SuiteConfig, register_schemas
from tests.sweeps.tools import records_in

SUITES = sorted(path.stem for path in Path(CONFIGS, "suite").glob("*.yaml"))


@pytest.fixture
def settings(small, tmp_path) -> list[str]:
    """The suite `digits` with runs of a fraction of a second."""
    own = ["epochs=1", "net.width=8", "net.depth=1", "replicates=1", "trials=2", "runs=2"]
    own += [f"results_dir={tmp_path}/runs"]
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
    made = make_replicates(config, {})
    assert [replicate.name for replicate in made] == list(METHODS) * config.replicates
    assert (config.sampler, config.pruner) == ("qmc", "none")
    if config.configurations:
        assert config.configurations in SUITES
    else:
        assert {replicate.sweep.total for replicate in made if replicate.sweep} == {config.trials}
    data = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}
    assert config.dataset.name in DATASETS.keys() & data.keys()
    shape = data[config.dataset.name]
    if side := config.dataset.center_crop:
        shape = (shape[0], side, side)
    assert config.net.name in NETS
    METHODS["bop"](METHODS["bop"].Config(), config.net, shape, 10, config.loss)


VERDICT = {  # data set, net, width, epochs; replicates, trials, runs
    "digits": ("digits", "mlp", 256, 10, 6, 8, 2),
    "mnist": ("mnist", "mlp", 256, 5, 6, 8, 2),
    "mnist_bernoulli": ("mnist", "bernoulli_cnn", 8, 5, 6, 8, 2),
    "svhn_subset": ("svhn", "vgg", 16, 8, 6, 8, 2),
    "cifar10_small": ("cifar10", "vgg", 16, 6, 3, 6, 1),
    "cifar10_medium": ("cifar10", "vgg", 32, 12, 3, None, 1),
    "cifar10": ("cifar10", "vgg", 128, 100, 3, 6, 1),
    "svhn": ("svhn", "vgg", 64, 50, 3, 6, 1),
}


@pytest.mark.parametrize("name", VERDICT)
def test_the_suites_that_there_are(name):
    register()
    register_schemas()
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        config = resolve(hydra.compose("suite", [f"suite={name}"]))
    trials = None if config.configurations else config.trials
    run = (config.dataset.name, config.net.name, config.net.width, config.epochs)
    assert (*run, config.replicates, trials, config.runs) == VERDICT[name]
    assert (config.configurations == "cifar10_small") == (name == "cifar10_medium")


def test_no_two_replicates_share_a_seed():
    seeds = [seed for r in range(1, 8) for seed in (trial_seed(r), *run_seeds(r, 999))]
    assert len(set(seeds)) == len(seeds) == 7 * 1000
    assert {replicate_of({"split_seed": 7, "seed": seed}) for seed in run_seeds(7, 999)} == {7}
    for split_seed, seed in ((7, trial_seed(7)), (0, 3), (1, 1), (3, 7001), (0, 1001)):
        assert replicate_of({"split_seed": split_seed, "seed": seed}) is None


@pytest.mark.parametrize("methods", [["real", "ste", "bop"], pytest.param(list(METHODS), marks=pytest.mark.slow)])
def test_every_method_is_tuned_and_run_and_the_second_time_nothing_is_done(methods, settings, call, tmp_path):
    settings = [*settings, f"methods=[{','.join(methods)}]"]
    outcome = call(suite, *settings)
    assert outcome.status == 0, outcome.err
    tuned, runs = tmp_path / "tuned/digits", records_in(tmp_path / "runs")
    files = sorted(path.relative_to(tuned) for path in tuned.rglob("*.yaml"))
    assert files == sorted(Path(name, "r1.yaml") for name in methods)
    seeds = sorted((record.config["method"]["name"], record.config["seed"]) for record in runs.values())
    assert seeds == sorted((name, seed) for name in methods for seed in (1001, 1002))
    assert all(record.test for record in runs.values())
    trials = records_in(tmp_path / "outputs/sweeps")
    assert {record.config["seed"] for record in trials.values()} == {1000}
    assert {record.config["split_seed"] for record in [*trials.values(), *runs.values()]} == {1}
    assert len(trials) == 2 * len(methods)
    for name in methods:
        assert re.search(rf"^  {name} +0/2 +0/2 +4 to do", outcome.out, re.M)
        assert re.search(rf"^  {name} +2/2 +2/2 +done$", outcome.out, re.M)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.suffix in (".json", ".yaml")}
    again = call(suite, *settings)
    assert again.status == 0
    assert again.err == ""
    assert len(re.findall(r" done$", again.out, re.M)) == len(methods)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert records_in(tmp_path / "runs").keys() == runs.keys()


def test_a_replicate_draws_split_search_and_seeds_anew(settings, call, tmp_path):
    few = [*settings, "methods=[ste,bop]", "replicates=2", "runs=1", "trials=3"]
    assert call(suite, *few).status == 0
    runs = records_in(tmp_path / "runs").values()
    found = {(r.config["method"]["name"], replicate_of(r.config)): r for r in runs}
    assert found.keys() == {("ste", 1), ("ste", 2), ("bop", 1), ("bop", 2)}
    for (_, number), record in found.items():
        assert (record.config["split_seed"], record.config["seed"]) == (number, 1000 * number + 1)
    assert found["ste", 1].data["fingerprint"] == found["bop", 1].data["fingerprint"]
    assert found["ste", 1].data["fingerprint"] != found["ste", 2].data["fingerprint"]

    tables = {r: pd.read_csv(tmp_path / f"trials/digits/bop/r{r}.csv") for r in (1, 2)}
    names = ["lr", "threshold", "gamma", "gamma_end"]
    for number, trials in tables.items():
        assert list(trials) == ["trial", "state", "validation_error", *names]
        assert list(trials["trial"]) == [0, 1, 2]
        assert set(trials["state"]) == {"complete"}
        best = trials.loc[trials["validation_error"].idxmin()]
        chosen = found["bop", number].config["method"]
        assert {name: chosen[name] for name in names} == {name: best[name] for name in names}
        records = [
            record
            for record in records_in(tmp_path / "outputs/sweeps").values()
            if (record.config["method"]["name"], record.config["split_seed"]) == ("bop", number)
        ]
        errors = sorted(record.validation["error"] for record in records)
        assert errors == pytest.approx(sorted(trials["validation_error"]))
    assert [tables[1][name][0] for name in names] == [tables[2][name][0] for name in names]
    assert tables[1]["lr"][0] == METHODS["bop"].Config().lr
    assert not set(tables[1]["lr"][1:]) & set(tables[2]["lr"][1:])


def test_the_tuned_file_of_a_replicate_and_a_seed_make_the_same_run(settings, call, tmp_path):
    assert call(suite, *settings, "methods=[bop]", "trials=1", "runs=1", "label=here").status == 0
    (record,) = records_in(tmp_path / "runs").values()
    # beside a tuned file of the same method, as a single sweep writes it
    (tmp_path / "tuned/here/bop.yaml").write_text("# @package _global_\n")
    own = ["device=cpu", "compile=false", f"output_dir={tmp_path}/outputs", f"results_dir={tmp_path}/again"]
    outcome = call(run, "+tuned=here/bop/r1", f"hydra.searchpath=[file://{tmp_path}]", "seed=1001", *own)
    assert outcome.status == 0, outcome.err
    assert list(records_in(tmp_path / "again")) == [f"{record.run_id}.json"]


def test_a_suite_that_runs_what_another_found(settings, call, tmp_path):
    few = [*settings, "methods=[ste]", "replicates=2", "runs=1"]
    taking = [*few, "configurations=digits", "label=wider", "net.width=9"]
    early = call(suite, *taking)
    assert early.status == 2
    assert "tuned/digits/ste/r1.yaml is missing: python -m sweeps.suite suite=digits first" in early.err
    assert call(suite, *few).status == 0
    found = {replicate_of(r.config): r.config for r in records_in(tmp_path / "runs").values()}
    outcome = call(suite, *taking)
    assert outcome.status == 0, outcome.err
    assert re.search(r"^  ste +of digits +0/2 +2 to do", outcome.out, re.M)
    assert re.search(r"^  ste +of digits +2/2 +done$", outcome.out, re.M)
    runs = [record.config for record in records_in(tmp_path / "runs").values()]
    wide = {replicate_of(config): config for config in runs if config["net"]["width"] == 9}
    assert wide.keys() == found.keys() == {1, 2}
    for number in (1, 2):
        assert wide[number] == found[number] | {"net": wide[number]["net"]}
    assert [path.name for path in (tmp_path / "tuned/wider").iterdir()] == ["suite.yaml"]  # no search of its own


def test_a_suite_of_ones_own_says_what_it_is_to_have_and_gets_tables(settings, call, tmp_path):
    few = [*settings, "label=mine", "methods=[bop,ste]", "replicates=2", "runs=1"]
    design = tmp_path / "tuned/mine/suite.yaml"
    assert call(suite, *few, "plan=true").status == 0
    assert not design.exists()
    outcome = call(suite, *few)
    assert outcome.status == 0
    folders = f"--results {tmp_path} --tuned {tmp_path}/tuned"
    assert f"\nnext: python -m analysis suite=mine {folders} tells the answer; " in outcome.out
    assert design.exists()
    assert call(suite, *settings, "methods=[ste]").status == 0
    assert not (tmp_path / "tuned/digits/suite.yaml").exists()  # configs/suite/ has it
    one = [*settings, "label=mine", "replicates=2", "runs=1"]
    assert call(suite, *one, "methods=[ste]").status == 0
    assert OmegaConf.load(design).methods == ["ste", "bop"]  # those of both commands

    material = gather(tmp_path, tuned=tmp_path / "tuned")
    (found,) = material.complete
    assert (found.suite.label, found.methods, found.suite.trials) == ("mine", ["ste", "bop"], 2)
    assert found.setting == "digits, mlp 8×1, 300 training examples, 1 epochs"
    errors = {
        (r.config["method"]["name"], replicate_of(r.config)): r.packed["test"]["error"]
        for r in records_in(tmp_path / "runs").values()
        if r.config["seed"] % 1000 == 1 and r.config["method"]["name"] in found.methods
    }
    assert found.values("bop").tolist() == [errors["bop", 1], errors["bop", 2]]
    assert "suite_mine" in tables_of(material)
    (shown,) = [setting for setting in content_of(material).settings if setting.suite == "mine"]
    assert sorted((cell.key, cell.count) for cell in shown.cells) == [("bop", 2), ("ste", 2)]
    assert len(material.trials["mine"]) == 2 * 2 * 2


def test_a_worker_with_other_code_is_refused_in_one_line(settings, call, tmp_path, monkeypatch):
    few = [*settings, "methods=[ste]", "trials=1", "runs=1"]
    assert call(suite, *few).status == 0
    monkeypatch.setattr(sweeps.code, "code", lambda: {"hash": "0123456789", "commit": "f" * 40, "dirty": True})
    assert call(suite, *few).status == 0  # nothing is left that could be mixed
    for path in (tmp_path / "runs").rglob("*.json"):
        path.unlink()
    for words in ([], ["trials=2"]):  # runs of what other code found; trials of its study
        outcome = call(suite, *few, *words)
        assert outcome.status == 2
        assert re.fullmatch(
            r"error: [^\n]+ was begun with other code \((commit|code) [^\n]+; this is commit ffffffffff with changes"
            r"\): go on with that code or with other_code=true, [^\n]+\n",
            outcome.err,
        )
    assert not records_in(tmp_path / "runs")
    assert call(suite, *few, "trials=2", "other_code=true").status == 0


def test_the_hash_of_the_code_is_that_of_what_runs_depend_on(tmp_path):
    code, others = (
        ("run.py", "configs/a.py", "methods/b/c.py"),
        ("results/runs/x.json", "configs/tuned/y.yaml", "test.py"),
    )
    for name in (*code, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    code_hash = sweeps.code.code_hash.__wrapped__
    before = code_hash(tmp_path)
    for name in (*others, "README.md"):
        (tmp_path / name).write_text("new")
        assert code_hash(tmp_path) == before
    (tmp_path / "methods/b/c.py").write_text("new")
    assert code_hash(tmp_path) != before
    (tmp_path / "methods/b/c.py").write_text("old")
    assert code_hash(tmp_path) == before
    (tmp_path / "methods/b/c.py").rename(tmp_path / "methods/b/d.py")
    assert code_hash(tmp_path) != before


def test_the_same_command_on_another_machine_takes_the_tuned_files(settings, call, tmp_path):
    few = [*settings, "methods=[ste]"]
    assert call(suite, *few).status == 0
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")  # the study stayed where it was made
    outcome = call(suite, *few, "runs=3")
    assert outcome.status == 0
    assert len(records_in(tmp_path / "runs")) == 3
    assert not list((tmp_path / "outputs").rglob("optuna.db"))


def test_other_terms_are_tuned_anew(settings, call, tmp_path):
    few = [*settings, "methods=[ste]", "runs=1"]
    assert call(suite, *few).status == 0
    file = tmp_path / "tuned/digits/ste/r1.yaml"
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
    outcome = call(suite, *settings, "methods=[ste,bop]", "trials=1", "runs=1")
    assert outcome.status == 0, outcome.err
    assert re.search(r"^  ste +1/1 +1/1 +done$", outcome.out, re.M)
    assert re.search(r"^  bop +untuned +1/1 +done$", outcome.out, re.M)
    runs = records_in(tmp_path / "runs")
    (bop,) = (record.config["method"] for record in runs.values() if record.config["method"]["name"] == "bop")
    assert all(bop[name] == value for name, value in vars(METHODS["bop"].Config()).items())
    file = tmp_path / "tuned/digits/bop/r1.yaml"
    assert "# bop has no search space\n" in file.read_text()
    assert call(suite, *settings, "methods=[bop]", "runs=1", "epochs=2").status == 0
    assert "epochs: 2\n" in file.read_text()  # other terms, another file
    assert {r.config["epochs"] for r in records_in(tmp_path / "runs").values() if r.config["method"] == bop} == {1, 2}


def test_a_run_that_fails_is_shown_and_the_others_go_on(settings, call, tmp_path):
    few = [*settings, "methods=[ste,real]", "trials=1", "loss=squared_hinge"]
    assert call(suite, *few, "runs=1").status == 0
    file = tmp_path / "tuned/digits/real/r1.yaml"
    text = file.read_text()
    assert "\nmethod:" not in text  # the only trial had the defaults
    file.write_text(f"{text}\nmethod:\n  lr: 1e30\n")
    outcome = call(suite, *few, "runs=2")
    assert outcome.status == 2
    assert re.search(r"^error: real r1 seed 1002: the training loss became (inf|nan) in epoch 1$", outcome.err, re.M)
    assert "Traceback" not in outcome.err
    assert re.search(r"^  real +1/1 +0/2 \(2 failed\) +2 to do", outcome.out, re.M)
    assert re.search(r"^  ste +1/1 +2/2 +done$", outcome.out, re.M)
    runs = records_in(tmp_path / "runs").values()
    statuses = sorted((r.config["method"]["name"], r.config["seed"], r.status) for r in runs)
    failed = [("real", 1001, "failed"), ("real", 1002, "failed")]
    assert statuses == [("real", 1001, "done"), *failed, ("ste", 1001, "done"), ("ste", 1002, "done")]
    file.write_text(text)
    assert call(suite, *few, "runs=2").status == 0


def test_a_method_that_diverges_is_counted(settings, call, tmp_path, monkeypatch):
    spaces = tmp_path / "spaces"
    spaces.mkdir()
    (spaces / "real.yaml").write_text("tuned: {lr: {log: [1e30, 1e31]}, power: {linear: [1, 2]}}")
    (spaces / "ste.yaml").write_text((sweeps.space.SPACES / "ste.yaml").read_text())
    monkeypatch.setattr(sweeps.space, "SPACES", spaces)
    outcome = call(suite, *settings, "methods=[real,ste]", "loss=squared_hinge", "runs=1")
    assert outcome.status == 2
    assert "2 trials (2 failed)\n  best       the first trial's settings, as none was completed" in outcome.out
    assert re.search(r"^error: real r1 seed 1001: the training loss became nan in epoch 1$", outcome.err, re.M)
    assert re.search(r"^  real +2/2 +0/1 \(1 failed\) +1 to do", outcome.out, re.M)
    assert re.search(r"^  ste +2/2 +1/1 +done$", outcome.out, re.M)
    assert [path.stem for path in (tmp_path / "tuned/digits").iterdir()] == ["real", "ste"]
    (found,) = [f for f in gather(tmp_path, tuned=tmp_path / "tuned").suites if f.suite.label == "digits"]
    assert (found.failed("real"), len(found.values("ste"))) == (1, 1)  # it has ended, so it holds nothing up


def test_the_time_left_is_by_the_records(settings, configure, call, tmp_path):
    few = [*settings, "methods=[ste,bop]", "trials=1", "runs=1"]
    assert call(suite, *few).status == 0
    (record,) = (r for r in records_in(tmp_path / "runs").values() if r.config["method"]["name"] == "ste")
    for path in tmp_path.glob("*/**/ste/*.json"):
        content = json.loads(path.read_text())
        content["cost"]["elapsed_seconds"] = 90.0
        del content["config"]["net"]["norm_scale"]  # as if from before there was such a setting
        path.write_text(json.dumps(content))
    for path in tmp_path.glob("*/**/bop/*.json"):
        path.unlink()
    (tmp_path / "tuned/digits/bop/r1.yaml").unlink()
    assert record.config["epochs"] == 1
    config = configure("methods=[ste,bop,real]", "replicates=2", "trials=5", "runs=3", "epochs=4")
    text = table(make_replicates(config, {}), "title").splitlines()
    assert text[0] == "title"
    # 4 epochs take 6 min, and a start 2 s; only ste has records, which serve for the others too
    for name in ("ste", "bop", "real"):
        assert any(re.match(rf"  {name} +0/10 +0/6 +16 to do, about 1 h 37 min$", line) for line in text), text
    assert text[-1] == "  in all about 4 h 50 min in one process"
    text = table(make_replicates(config, {}), "title", processes=3).splitlines()
    assert text[-1] == "  in all about 4 h 50 min of one process, 1 h 37 min of the 3 at work"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ["say which suite", *SUITES]),
        (["suite=mnits"], ["'mnits'", "did you mean mnist?"]),
        (["suite=digits", "methods=[stee]"], ["'stee'", "did you mean ste?", "bop2nd"]),
        (["suite=digits", "method=ste"], ["method", "methods=[…]"]),
        (["suite=digits", "method.lr=1"], ["method.lr", "methods=[…]"]),
        (["suite=digits", "seed=1"], ["seed", "anew"]),
        (["suite=digits", "split_seed=1"], ["split_seed", "anew"]),
        (["suite=digits", "search_seed=1"], ["search_seed", "anew"]),
        (["suite=digits", "dataset.validation=0"], ["dataset.validation=0", "validation error"]),
        (["suite=digits", "replicates=0"], ["replicates=0", "≥ 1"]),
        (["suite=digits", "runs=1000"], ["runs=1000", "≤ 999"]),
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


@pytest.mark.parametrize("word", ["dataset.augment=crop", "trials=3", "+experiment=mnist_mlp", "+tuned=mnist/ste/r1"])
@pytest.mark.parametrize("usual", ["tuned_dir", "results_dir"])  # where the project's tables or tuned files are
def test_a_suite_is_not_changed_under_its_own_name(call, small, word, usual):
    output = [given for given in small if "_dir" in given and not given.startswith(usual)]
    outcome = call(suite, *output, "suite=digits", "methods=[ste]", word, "plan=true")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {word.lstrip('+').partition('=')[0]} is set by suite=digits,")
    assert "give label=NAME for a suite of your own" in outcome.err
    assert call(suite, *output, "suite=digits", "methods=[ste]", word, "plan=true", "label=digits").status == 0


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
    for name in ("methods", "replicates", "runs", "configurations", "plan", "trials", "storage"):
        assert re.search(rf"^  {name}=\S+ +\S.{{10,}}$", outcome.out, re.M), name
