"""What a suite survives: workers killed at random moments, a full disk, a record cut short."""

import os
import random
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sweeps import suite
from tests.sweeps.tools import kill, records_in, start

KILLS = int(os.environ.get("BNN_KILLS", 4))
METHODS, REPLICATES, RUNS = ["ste", "bop"], 2, 1
TRIALS = 3 + KILLS // 3  # enough to do for all of them


@pytest.fixture
def settings(small, tmp_path) -> list[str]:
    words = [word for word in small if word.partition("=")[0] not in ("epochs", "output_dir", "tuned_dir")]
    design = [
        "methods=[ste,bop]",
        f"replicates={REPLICATES}",
        f"trials={TRIALS}",
        f"runs={RUNS}",
        "epochs=6",
        "checkpoint_seconds=0",
    ]
    size = ["net.width=8", "net.depth=1"]
    return ["suite=digits", *(word for word in words if word not in ("dataset=digits", "net=tiny")), *size, *design]


def folders(root: Path) -> list[str]:
    names = {"output_dir": "outputs", "tuned_dir": "tuned", "results_dir": "runs"}
    return [f"{name}={root / folder}" for name, folder in names.items()]


def command(words: list[str], output: Path) -> None:
    """`python -m sweeps.suite` with these words, in a process of its own."""
    sys.argv = ["-m", *words]
    with output.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        sys.exit(suite.main())


def outcomes(root: Path) -> dict[str, object]:
    """What tables are made of: every run's curve and errors, and every search's table."""
    runs = {name: (r.curves["train_loss"], r.validation, r.test) for name, r in records_in(root / "runs").items()}
    return runs | {str(path.relative_to(root)): path.read_text() for path in sorted((root / "trials").rglob("*.csv"))}


def check_that_all_is_there_once(root: Path, url: str) -> None:
    searches = len(METHODS) * REPLICATES
    names = {path.name for path in (root / "outputs/sweeps").glob("digits-*")}
    assert len(names) == searches
    assert names == {name for name in optuna.get_all_study_names(url) if name.startswith("digits-mlp-")}
    for name in names:
        trials = optuna.load_study(study_name=name, storage=url).trials
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    assert len(list((root / "outputs/sweeps").rglob("records/*/*.json"))) == searches * TRIALS
    assert len(records_in(root / "runs")) == searches * RUNS


def run_with_kills(words: list[str], root: Path, kills: int) -> int:
    """Two workers; `kills` times one of them is killed at a random moment and started again. Returns how often."""
    chance, made = random.Random(0), 0
    output = root / "output"
    workers = [start(command, words, output) for _ in range(2)]
    while made < kills and any(worker.is_alive() for worker in workers):
        time.sleep(chance.uniform(0.2, 3))
        number = chance.randrange(2)
        if workers[number].is_alive():
            kill(workers[number])
            made += 1
            workers[number] = start(command, words, output)
    for worker in workers:
        worker.join()
    # what a worker left to one that was killed later; takeover, since with a server a trial that was killed before it
    # had its lock could be another machine's
    last = start(command, [*words, "takeover=true"], output)
    last.join()
    assert last.exitcode == 0, output.read_text()[-3000:]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_killed_at_random_moments_it_comes_to_the_same(settings, tmp_path, storage, request):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for root in (undisturbed, disturbed):
        root.mkdir()
    process = start(command, [*settings, *folders(undisturbed)], undisturbed / "output")
    process.join()
    assert process.exitcode == 0
    urls = {root: f"sqlite:///{root}/outputs/sweeps/optuna.db" for root in (undisturbed, disturbed)}
    words = [*settings, *folders(disturbed)]
    if storage == "postgresql":
        urls[disturbed] = request.getfixturevalue("server")
        words.append(f"storage='{urls[disturbed]}'")
    made = run_with_kills(words, disturbed, KILLS)
    print(f"{made} kills")
    assert made >= min(KILLS, 3)
    for root, url in urls.items():
        check_that_all_is_there_once(root, url)
    assert outcomes(disturbed) == outcomes(undisturbed)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("space", ["for no database", "for no more trials"])
def test_a_full_disk_costs_no_trial(settings, call, tmp_path, space):
    words = [*settings, *folders(tmp_path), "methods=[ste]", "replicates=1", "runs=1", "epochs=1"]
    if space == "for no more trials":
        assert call(suite, *words, "trials=1").status == 0
        size = (tmp_path / "outputs/sweeps/optuna.db").stat().st_size
    else:
        size = 20_000
    with largest_file(size):
        full = call(suite, *words, "trials=12")
    assert full.status == 2
    assert "Traceback" not in full.err
    assert re.search(r"^error: (.*cannot (write|be opened)|.*storage=.* fails).*$", full.err, re.M), full.err
    outcome = call(suite, *words, "trials=12")
    assert outcome.status == 0, outcome.err
    url = f"sqlite:///{tmp_path}/outputs/sweeps/optuna.db"
    (summary,) = optuna.get_all_study_summaries(url)
    trials = optuna.load_study(study_name=summary.study_name, storage=url).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12


def test_a_record_cut_short_is_named_and_the_rest_goes_on(settings, call, tmp_path):
    words = [*settings, *folders(tmp_path), "methods=[ste,real]", "replicates=1", "runs=2", "trials=1", "epochs=1"]
    assert call(suite, *words).status == 0
    before = outcomes(tmp_path)
    cut, lost = sorted((tmp_path / "runs/ste").iterdir())
    cut.write_text(cut.read_text()[:1000])
    lost.unlink()
    outcome = call(suite, *words)
    assert outcome.status == 2
    told = [line for line in outcome.err.splitlines() if line.startswith("error: ste r1 seed ")]
    assert len(told) == 1
    assert f"{cut} is not a readable record" in told[0]
    assert lost.exists()
    assert re.search(r"^    r1: .* is not a readable record", outcome.out, re.M)
    cut.unlink()
    assert call(suite, *words).status == 0
    assert outcomes(tmp_path) == before
