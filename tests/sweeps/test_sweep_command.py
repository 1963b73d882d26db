"""`python -m sweeps`: refusals in one line that says what is valid, help, several methods, and a process of its own."""

import re
import subprocess
import sys

import pytest

import run
import sweeps.__main__ as command
from configs.registry import ROOT
from methods import METHODS
from sweeps.settings import PRUNERS, SAMPLERS
from tests.sweeps.tools import records_in


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("trails=3", ["'trails'", "did you mean trials?", "epochs"]),
        ("method=bopp", ["'bopp'", "did you mean bop?", *METHODS]),
        ("method.treshold=0", ["'method.treshold'", "method.lr"]),
        ("sampler=tpee", ["sampler=tpee", *SAMPLERS]),
        ("pruner=hyperband", ["pruner=hyperband", *PRUNERS]),
        ("trials=0", ["trials=0", "≥ 1"]),
        ("search_seed=-1", ["search_seed=-1", "≥ 0"]),
        ("method.lr=0.1", ["method.lr", "is tuned"]),
        ("test=true", ["test=true", "no test set"]),
        ("results_dir=runs", ["results_dir=runs", "output_dir/sweeps"]),
        ("rerun=true", ["rerun=true"]),
        ("space=nowhere.yaml", ["nowhere.yaml", "No such file"]),
        ("storage=redis://host", ["storage=redis://host", "sqlite:///FILE", "journal:FILE", "postgresql://"]),
        ("storage=journal:", ["storage=journal:", "journal:FILE"]),
        ("storage=optuna.db", ["storage=optuna.db", "sqlite:///FILE"]),
        ("storage=sqlite:////proc/none/x.db", ["storage=sqlite:////proc/none/x.db", "cannot be opened"]),
        ("suite=mnist", ["suite"]),
        ("devices=2", ["devices=2 num_nodes=1", "one device each"]),
    ],
)
def test_what_is_not_valid_is_refused_with_what_is(call, small, tmp_path, argument, named):
    outcome = call(command, *small, argument)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", outcome.err), outcome.err
    for word in named:
        assert word in outcome.err
    assert list(tmp_path.rglob("*.*")) == []


def test_a_password_is_not_shown(call, small):
    outcome = call(command, *small, "storage=postgresql://me:secret@localhost:1/none")
    assert outcome.status == 2
    assert "storage=postgresql://me:***@localhost:1/none" in outcome.err
    assert "secret" not in outcome.err


def test_a_grid_that_is_too_large(call, small):
    outcome = call(command, *small, "method=bop", "sampler=grid", "trials=15")
    assert outcome.err == "error: trials=15 is too few for a grid, which has at least 16 points here\n"


def test_a_method_without_a_space(call, small, tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.space.SPACES", tmp_path)
    outcome = call(command, *small)
    assert outcome.status == 2
    assert outcome.err.startswith("error: method=ste has no search space: write ")


def test_several_methods_at_once(call, small, tmp_path):
    outcome = call(command, "-m", *small, "epochs=1", "trials=1", "method=real,ste")
    assert outcome.status == 0, outcome.err
    assert sorted(path.name for path in (tmp_path / "tuned/digits").iterdir()) == ["real.yaml", "ste.yaml"]
    methods = {r.config["method"]["name"]: r.command for r in records_in(tmp_path / "outputs").values()}
    assert methods.keys() == {"real", "ste"}
    assert methods["ste"].startswith("python run.py method=ste dataset=digits net=tiny ")


def test_help_names_everything(call):
    outcome = call(command, "--help")
    assert outcome.status == 0
    for name in ("trials", "sampler", "pruner", "search_seed", "storage", "space", "tuned_dir", "label", "takeover"):
        assert re.search(rf"^  {name}=\S+ +\S.{{10,}}$", outcome.out, re.M), name
    assert set(METHODS) <= set(outcome.out.split())


def test_a_tuned_file_that_is_none_is_named(call):
    outcome = call(run, "+tuned=digits/nonsense")
    assert outcome.status == 2
    assert re.fullmatch(r"error: unknown tuned/digits 'nonsense'[^\n]*\n", outcome.err)


@pytest.mark.slow
def test_in_a_process_of_its_own(small, tmp_path):
    arguments = [*small, "method=real", "epochs=1", "trials=1", f"storage=journal:{tmp_path}/study.log"]
    done = subprocess.run([sys.executable, "-m", "sweeps", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^trial 0 \(1/1\)  validation error [\d.]+ %  lr=", done.stdout, re.M)
    assert f"optuna-dashboard {tmp_path}/study.log\n" in done.stdout
    assert (tmp_path / "tuned/digits/real.yaml").exists()
