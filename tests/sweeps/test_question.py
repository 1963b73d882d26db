"""A user's own question: a design for the hours that there are, what it can tell, and what is too short."""

import json
import re

import pytest

from configs.settings import UserError
from sweeps import suite
from sweeps.question import DESIGNS, START_SECONDS, Design, Stopwatch, choose_design
from tests.sweeps.tools import records_in

SECONDS = {"ste": 10.0, "bop": 20.0, "own": 30.0}
SEARCHED = ["ste", "bop"]


def by_hand(replicates, trials, runs, epochs):
    counts = {"ste": trials + runs, "bop": trials + runs, "own": runs}  # own has no search space
    return sum(replicates * counts[name] * (epochs * SECONDS[name] + START_SECONDS) for name in SECONDS)


def test_the_time_of_a_design():
    assert Design(4, 6, 1, 12).seconds(SECONDS, SEARCHED) == pytest.approx(by_hand(4, 6, 1, 12))


@pytest.mark.parametrize("place", range(len(DESIGNS)))
def test_the_best_design_that_leaves_twenty_epochs_is_taken(place):
    enough = by_hand(*DESIGNS[place], 20)
    assert choose_design(SECONDS, SEARCHED, enough + 1e-6, {}) == Design(*DESIGNS[place], 20)
    if place + 1 < len(DESIGNS):
        less = choose_design(SECONDS, SEARCHED, enough - 1, {})
        assert (less.replicates, less.trials, less.runs) == DESIGNS[place + 1]
        assert less.epochs >= 20
    else:
        assert choose_design(SECONDS, SEARCHED, enough - 1, {}) == Design(*DESIGNS[-1], 19)


def test_more_time_is_for_more_epochs_up_to_a_hundred():
    assert choose_design(SECONDS, SEARCHED, by_hand(*DESIGNS[0], 57) + 1, {}).epochs == 57
    assert choose_design(SECONDS, SEARCHED, 1e9, {}) == Design(*DESIGNS[0], 100)


def test_what_the_user_gives_is_held():
    time = by_hand(*DESIGNS[1], 7) + 1
    assert choose_design(SECONDS, SEARCHED, time, {"epochs": 7}) == Design(*DESIGNS[1], 7)
    held = choose_design(SECONDS, SEARCHED, by_hand(9, 8, 2, 20) + 1, {"replicates": 9})
    assert held == Design(9, 8, 2, 20)


def test_what_is_too_short_is_refused_with_what_it_would_take():
    least = by_hand(3, 4, 1, 3)
    assert choose_design(SECONDS, SEARCHED, least + 1e-6, {}).epochs == 3
    with pytest.raises(
        UserError, match=r"hours=0.468056 is too short for 3 methods: 3 replicates of 4 trials .* 28 min"
    ):
        choose_design(SECONDS, SEARCHED, least - 1, {})
    with pytest.raises(UserError, match="4 epochs"):
        choose_design(SECONDS, SEARCHED, least + 1, {"epochs": 4})


def test_an_epoch_by_some_of_its_steps():
    watch = Stopwatch()
    watch.steps, watch.marks = 500, [0.0, 9.0, 9.1, 9.2, 9.3, *(10 + 0.02 * step for step in range(100))]
    assert watch.epoch_seconds() == pytest.approx(1.15 * 500 * 0.02)
    watch.marks = [3.0, 3.5, 4.5]
    assert watch.epoch_seconds() == pytest.approx(1.15 * 500 * 0.75)


def test_a_question_is_planned_once_and_answered(call, small, tmp_path):
    own = [f"results_dir={tmp_path}/runs", "methods=[bop]", "replicates=2", "runs=1"]
    words = [*(word for word in small if word != "epochs=2"), *own, "trials=2", "epochs=1", "hours=0.5"]
    outcome = call(suite, *words)
    assert outcome.status == 0, outcome.err
    assert "ste is added" in outcome.out
    assert re.search(r"an epoch +ste [\d.e-]+ s \(timed\), bop [\d.e-]+ s \(timed\)", outcome.out)
    assert "2 replicates of 2 trials and 1 runs, 1 epochs" in outcome.out
    # two replicates detect 10.4 σ by a Welch test of one to two degrees of freedom, and σ = 0.5 is assumed
    told = re.search(r"a difference to ste of ([\d.]+) points .* 0.5 points \(assumed: no record tells\)", outcome.out)
    assert float(told[1]) == 5.2
    runs = records_in(tmp_path / "runs").values()
    assert sorted((r.config["method"]["name"], r.config["seed"]) for r in runs) == [
        ("bop", 1001),
        ("bop", 2001),
        ("ste", 1001),
        ("ste", 2001),
    ]
    (plan,) = (tmp_path / "outputs/sweeps/questions").glob("*.json")
    content = json.loads(plan.read_text())
    content["times"]["ste"] = [123, "timed"]
    plan.write_text(json.dumps(content))
    again = call(suite, *words, "plan=true")
    assert "ste 123 s (timed)" in again.out
    assert len(re.findall(r" done$", again.out, re.M)) == 2


def test_a_label_is_of_one_question(call, small, tmp_path):
    own = [f"results_dir={tmp_path}/runs", "runs=1", "trials=2", "label=mine"]
    words = [*(word for word in small if word != "epochs=2"), *own, "methods=[ste]", "plan=true"]
    assert call(suite, *words, "epochs=1", "replicates=2", "hours=0.5").status == 0
    plan = (tmp_path / "outputs/sweeps/questions/mine.json").read_text()
    for other in (["epochs=2", "replicates=2", "hours=0.5"], ["epochs=1", "replicates=2", "hours=0.6"]):
        outcome = call(suite, *words, *other)
        assert outcome.status == 2
        assert "label=mine is that of another question" in outcome.err
    assert (tmp_path / "outputs/sweeps/questions/mine.json").read_text() == plan


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["hours=0"], ["hours=0", "> 0"]),
        (["hours=1e-4", "methods=[ste]"], ["hours=0.0001 is too short for 1 methods", "3 epochs"]),
        (["hours=1", "suite=digits"], ["hours=1", "suite=digits"]),
        (["hours=1", "methods=[ste]", "label=mnist"], ["label=mnist is the name of a suite"]),
        (["hours=1", "methods=[stee]"], ["'stee'", "did you mean ste?"]),
    ],
)
def test_what_cannot_be_asked(call, small, tmp_path, words, named):
    size = [word for word in small if not (word.startswith(("dataset", "net", "epochs")))]
    outcome = call(suite, *size, "dataset=digits" if "suite=digits" not in words else "seed=0", "net.width=8", *words)
    assert outcome.status == 2
    (told,) = (line for line in outcome.err.splitlines() if line.startswith("error: "))
    assert outcome.err.endswith(f"{told}\n")
    for word in named:
        assert word in told
    assert not list(tmp_path.rglob("*.json"))
