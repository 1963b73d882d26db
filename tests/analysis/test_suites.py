"""Which runs make up a suite, on folders of suites that never ran, and on the suites that there are."""

import shutil

import pandas as pd
import pytest
import yaml

import analysis.rebuild
from analysis.material import gather
from analysis.page.from_records import content_of
from analysis.rebuild import tables
from analysis.suites import load_suites, runs_of
from analysis.verdict_tables import state
from configs.registry import METHODS
from configs.replicates import run_seeds
from configs.schema import CONFIGS
from configs.settings import UserError
from results.record import load
from tests.analysis.made_up_suites import RUN, make_folders, make_record, make_runs, make_suite, write

STE = [[3.0, 3.2], [2.0, 2.4], [2.6, 2.6]]
BOP = [[4.0, 4.2], [3.0, 3.4], [3.6, 3.6]]


@pytest.fixture
def folders(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick")
    return folders


def found_in(folders, label="quick"):
    material = gather(folders.results, folders.configs)
    return next(found for found in material.suites if found.suite.label == label)


def test_the_value_of_a_replicate_is_the_mean_of_its_runs(folders):
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    found = found_in(folders)
    assert found.complete
    assert found.values("ste").tolist() == pytest.approx([3.1, 2.2, 2.6])
    assert found.methods == ["ste", "bop"]
    assert found.setting == "MNIST, mlp 64×2, 5 epochs"
    assert set(found.absent) == set(METHODS) - {"ste", "bop"}
    assert state(found) == f"complete; without {', '.join(found.absent)}"


def test_the_error_is_that_of_the_packed_net_where_there_is_one(folders):
    make_runs(folders, "quick", {"ste": STE})
    path = folders.runs()[0]
    path.write_text(path.read_text().replace('"packed": {}', '"packed": {"test": {"error": 9.0}}'))
    first = load(path)
    assert (first.config["split_seed"], first.test["error"]) == (1, 3.0)
    assert found_in(folders).values("ste").tolist() == pytest.approx([(9.0 + 3.2) / 2, 2.2, 2.6])


@pytest.mark.parametrize("number", [0, 7, 11])
def test_a_missing_run_keeps_a_suite_from_being_published(folders, number):
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    folders.runs()[number].unlink()
    material = gather(folders.results, folders.configs)
    (found,) = material.suites
    assert state(found).startswith("not complete: 11 of 12 runs; without ")
    assert material.complete == []
    assert material.runs.empty  # its runs are in no table
    made = analysis.rebuild.tables(material)
    assert set(made["suites"]["state"]) == {state(found)}
    assert not any(name.startswith(("suite_", "ranking_", "overall")) for name in made)


def test_a_search_that_has_not_ended_keeps_a_suite_from_being_published(folders):
    make_runs(folders, "quick", {"ste": STE, "bop": BOP[:2]})
    assert state(found_in(folders)).startswith("not complete: 10 of 12 runs; without ")


def test_without_the_control_nothing_is_published(folders):
    make_runs(folders, "quick", {"bop": BOP})
    assert not found_in(folders).complete


def test_a_failed_run_has_ended_and_counts_as_failed(folders):
    make_runs(folders, "quick", {"ste": STE, "bop": [[4.0, None], [None, None], [3.6, 3.6]]})
    found = found_in(folders)
    assert found.complete
    assert found.failed("bop") == 3
    assert found.values("bop").tolist() == pytest.approx([4.0, 3.6])  # a replicate without a run has no value
    assert state(found).startswith("complete (3 failed)")


def test_the_tuned_file_says_which_of_two_searches_counts(folders):
    """Also where the first search chose what only adds to the second's choice: the defaults."""
    make_runs(folders, "quick", {"ste": [[9.0, 9.0]] * 3}, lr=0.75)
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    for r in (1, 2, 3):
        path = folders.tuned / f"quick/ste/r{r}.yaml"
        content = yaml.safe_load(path.read_text())
        assert content["method"].keys() == {"lr"}
    found = found_in(folders)
    assert found.complete
    assert found.values("ste").tolist() == pytest.approx([3.1, 2.2, 2.6])
    cells = gather(folders.results, folders.configs).cells.set_index("key")
    assert cells["n"].to_dict() == {"bop": 3, "ste": 3}  # a cell for the suite, and none of the earlier search
    assert cells.loc["ste", "mean"] == pytest.approx(7.9 / 3)


def test_records_made_on_other_terms_are_not_the_suites(folders):
    """Its label was used for other epochs: the tuned file names runs of five."""
    make_runs(folders, "quick", {"ste": STE}, epochs=9)
    make_runs(folders, "quick", {"ste": STE})
    for path in folders.runs():
        if load(path).config["epochs"] == 5:
            path.unlink()
    assert len(found_in(folders).table) == 0


def test_a_suite_that_takes_the_configurations_of_another(folders):
    make_suite(folders, "large", net={"width": 128}, runs=1, configurations="quick", epochs=7)
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    tuned = {path: path.read_text() for path in folders.tuned.rglob("*.yaml")}
    names = {"net": {"width": 128}, "epochs": 7}
    make_runs(folders, "large", {"ste": [[1.0, 9.0], [2.0], [3.0]], "bop": [[2.0], [2.0], [None]]}, **names)
    make_runs(folders, "large", {"ste": [[8.0], [8.0], [8.0]]}, lr=0.5, **names)  # of another search
    make_runs(folders, "large", {"ste": [[7.0], [7.0], [7.0]]}, net={"width": 256}, epochs=7)
    last = RUN | {"epochs": 7, "split_seed": 1, "select": "last", "method": {"lr": 0.25}, "net": {"width": 128}}
    make_record(folders, {"method": "ste", "dataset": "mnist", "net": "mlp"}, last, run_seeds(1, 1)[0], 6.0)
    for path in (folders.tuned / "large").rglob("*.yaml"):
        path.unlink()  # it has no tuned files
    found = found_in(folders, "large")
    assert found.complete
    assert found.values("ste").tolist() == [1.0, 2.0, 3.0]
    assert found.failed("bop") == 1
    assert found_in(folders).complete
    table = tables(gather(folders.results, folders.configs))["suite_large_details"].set_index("method")
    assert table.loc["ste", ["best of the search", "failed trials", "accuracy / real's"]].tolist() == ["", "", ""]
    assert all(path.read_text() == text for path, text in tuned.items())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("replicates: [", "quick.yaml is not a readable configuration"),
        ("runs: 2\n", "quick.yaml does not say 'replicates'"),
        ("replicates: 1\nruns: 1\nconfigurations: none\n", "there is no suite none"),
    ],
)
def test_a_suite_that_cannot_be_read_is_named(folders, text, named):
    write(folders.configs / "suite/quick.yaml", text)
    with pytest.raises(UserError, match=named):
        load_suites(folders.configs)


def test_tuned_files_without_records_are_a_suite_without_runs(folders):
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    shutil.rmtree(folders.results / "runs")
    (folders.results / "runs").mkdir()
    found = found_in(folders)
    assert state(found).startswith("not complete: 0 of 12 runs; without")
    assert (found.failed("ste"), len(found.values("ste"))) == (0, 0)
    assert tables(gather(folders.results, folders.configs))["suites"]["setting"].tolist() == [""]


def test_a_suite_all_of_whose_runs_failed_is_not_complete(folders):
    make_runs(folders, "quick", {"ste": [[None, None]] * 3})
    found = found_in(folders)
    assert state(found).startswith("not complete: 6 of 6 runs (6 failed)")
    assert "suite_quick" not in tables(gather(folders.results, folders.configs))


def test_suites_of_the_same_words_are_told_by_their_labels(folders):
    make_suite(folders, "other", loss="squared_hinge")
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    make_runs(folders, "other", {"ste": [[e + 5 for e in runs] for runs in STE]}, loss="squared_hinge")
    material = gather(folders.results, folders.configs)
    words = "MNIST, mlp 64×2, 5 epochs"
    assert material.titles == {"other": f"{words} (other)", "quick": f"{words} (quick)"}
    table = tables(material)["verdict"].set_index("method")
    assert table.loc["ste"].tolist()[:2] == ["7.63", "2.63"]
    assert table.loc["bop"].tolist()[0] == ""
    assert list(tables(material)["relative"].columns)[1:] == [f"{words} (other)", f"{words} (quick)"]
    shown = {s.title: [c.key for c in s.cells] for s in content_of(material).settings}
    assert shown == {f"{words} (other)": ["ste"], f"{words} (quick)": ["ste", "bop"]}


def test_without_records_no_suite_has_begun(folders):
    (suite,) = load_suites(folders.configs)
    found = runs_of(suite, pd.DataFrame())
    assert (state(found), found.complete, found.methods) == ("not begun", False, [])


# the suites that there are


@pytest.mark.slow
def test_the_ids_are_those_of_the_runs_that_a_suite_makes(tmp_path):
    """By `sweeps`, which writes the tuned files, and makes runs of them."""
    import hydra

    from configs.schema import identity, register, resolve
    from sweeps.replicate import make_replicates
    from sweeps.settings import register_schemas, run_config
    from sweeps.tuned import write_tuned

    register()
    register_schemas()
    suites = {suite.label: suite for suite in load_suites(tuned=tmp_path)}
    for label, suite in suites.items():
        with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
            config = resolve(
                hydra.compose("suite", [f"suite={label}", f"tuned_dir={tmp_path}", f"output_dir={tmp_path}"])
            )
        config.label = label
        replicates = make_replicates(config, {})
        assert (len(replicates), config.runs) == (len(suite.methods) * suite.replicates, suite.runs)
        for replicate in replicates[:: 2 * len(suite.methods) + 1]:  # each another method
            method = replicate.config.method
            if hasattr(method, "lr"):
                method.lr = 0.00123
            base = run_config(replicate.config)
            if suite.configurations:
                made = identity(run_config(replicate.config, seed=1000 * replicate.number + 1))
                like = made | {"epochs": 1, "net": made["net"] | {"width": 3}}
                assert suite.has(made, like)
                assert not suite.has(made | {"epochs": 1}, like)
                assert not suite.has(made | {"split_seed": 99}, like)
                assert not suite.has(made | {"method": made["method"] | {"name": "other"}}, like)
            else:
                write_tuned(replicate.path, base, "study", 1, [])
                assert suite.ids(replicate.name, replicate.number) == [run.id for run in replicate.runs()]
                assert suite.ids(replicate.name, replicate.number + 1) == []


def test_the_packed_nets_of_the_committed_suites_predict_as_the_trained_ones(committed_material):
    """packed/README.md says so."""
    for found in committed_material.complete:
        packed = found.table[found.table["method.name"] != "real"]
        assert packed[["packed.validation.differ", "packed.test.differ"]].eq(0).all(axis=None), found.suite.label


def test_a_cell_has_the_replicates_of_one_suite(folders):
    make_runs(folders, "quick", {"ste": STE, "bop": BOP})
    make_suite(folders, "again", replicates=3)
    more = [[error + 1 for error in replicate] for replicate in STE]
    make_runs(folders, "again", {"ste": more, "pbop": BOP}, lr=0.75)
    (folders.configs / "suite/again.yaml").rename(folders.tuned / "again/suite.yaml")  # a user's own
    cells = gather(folders.results, folders.configs).cells.set_index("family")
    assert cells["mean"].round(4).to_dict() == {
        "bop": round(10.9 / 3, 4),
        "pbop": round(10.9 / 3, 4),
        "ste": round(7.9 / 3, 4),
    }
    assert cells["n"].to_dict() == {"bop": 3, "pbop": 3, "ste": 3}
