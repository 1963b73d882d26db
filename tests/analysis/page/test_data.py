"""The data in the page: commands put together again are those of the records."""

import json
import shlex
from dataclasses import replace

from analysis.page.data import data, number, published_name, split
from analysis.page.rows import Run
from tests.analysis.page.made_up import cell, content


def test_every_command_can_be_put_together_again():
    runs = cell("bop", "mnist", 1, 5).runs
    shared, replicates = split(runs)
    found = {
        (seed, frozenset(shlex.split(f"{shared} {words} seed={seed}")))
        for _, words, rows in replicates
        for _, seed, _ in rows
    }
    assert found == {(run.seed, frozenset(shlex.split(run.command))) for run in runs}
    assert [number for number, _, _ in replicates] == [1, 2, 3, 4, 5, 6]


def test_quoted_words_stay_quoted():
    runs = [
        Run(f"a-s{s}-x", None, s, 1.0, f"python run.py 'method.x=[1, 2]' seed={s} 'method.y=a b{s}'") for s in (1, 2)
    ]
    shared, replicates = split(runs)
    assert shlex.split(shared) == ["python", "run.py", "method.x=[1, 2]"]
    assert [shlex.split(words) for _, words, _ in replicates] == [["method.y=a b1"], ["method.y=a b2"]]


def test_a_cell_without_runs_has_no_command():
    assert split([]) == ("", [])


def test_numbers_are_short_and_missing_ones_none():
    assert [number(v) for v in (2.0, 2.345678, float("nan"), 0.1)] == [2, 2.3457, None, 0.1]


def test_the_json_can_neither_end_its_script_nor_open_another():
    first, *others = content().settings
    odd = replace(first, config={"net.name": "</script><!--<script>"})
    text = data(replace(content(), settings=[odd, *others]))
    assert "<" not in text
    tree = json.loads(text)
    assert tree["settings"][0]["config"] == {"net.name": "</script><!--<script>"}
    assert len(tree["cells"]) == 70
    assert tree["cells"][2]["error"] == round(content().settings[0].cells[2].error.value, 4)


def test_a_part_of_a_data_set_has_the_published_figures_of_the_whole():
    assert [published_name(name) for name in ("SVHN subset 4434/1952", "MNIST")] == ["SVHN", "MNIST"]
