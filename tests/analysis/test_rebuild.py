"""`python -m analysis`: what is committed is what the records give, and bad records are refused in one line."""

import json
import re
import shutil

import matplotlib
import pytest
from matplotlib.testing.compare import compare_images

from analysis.__main__ import HERE, main
from analysis.page.from_records import content_of
from analysis.page.render import page
from analysis.plotting import plt

ROOT = HERE.parent
RECORD = min((ROOT / "results" / "runs" / "ste").glob("digits-mlp-s1-*.json"))


@pytest.fixture
def sources(committed) -> list[str]:
    """Arguments: the committed records and tuned files."""
    return ["--results", str(committed / "results"), "--tuned", str(committed / "configs/tuned")]


def test_the_committed_tables_and_the_page_are_those_of_the_committed_records(
    sources, committed, committed_material, tmp_path
):
    assert main([*sources, "--out", str(tmp_path), "--tables-only"]) == 0
    rebuilt = {p.name: p.read_bytes() for p in (tmp_path / "tables").iterdir()}
    assert rebuilt == {p.name: p.read_bytes() for p in (HERE / "tables").iterdir()}
    assert not (tmp_path / "figures").exists()
    whole = page(content_of(committed_material)).encode()
    assert whole == (HERE / "page" / "index.html").read_bytes()
    assert len(whole) < 400_000
    elsewhere = (tmp_path / "page" / "index.html").read_text()
    links = [link for link in re.findall(r'href="([^"]+)"', elsewhere) if link.endswith(".md")]
    records = json.loads(re.search(r'"results":("[^"]+")', elsewhere)[1])
    record = min((committed / "results/runs/ste").glob("*.json")).name
    for link in [*links, f"{records}/runs/ste/{record}"]:
        assert (tmp_path / "page" / link).resolve().exists(), link
    assert links


@pytest.mark.slow
def test_the_committed_figures_are_those_of_the_committed_records(sources, tmp_path):
    """Closely with the version of Matplotlib that drew them; up to what another one draws in another way."""
    drawn_with = re.search(r"^matplotlib==(.*)$", (ROOT / "versions.txt").read_text(), re.M)[1]
    tolerance = 0.5 if matplotlib.__version__ == drawn_with else 10
    assert main([*sources, "--out", str(tmp_path)]) == 0
    names = sorted(p.name for p in (HERE / "figures").iterdir())
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == names
    for name in names:
        expected = shutil.copy(HERE / "figures" / name, tmp_path / name)  # the comparison writes beside it
        assert compare_images(str(expected), str(tmp_path / "figures" / name), tol=tolerance) is None, name


def test_figures_are_drawn_where_there_are_records(committed, tmp_path, capsys):
    for method in ("ste", "bop"):
        (tmp_path / "runs" / method).mkdir(parents=True)
        for path in (committed / "results/runs" / method).glob("digits-mlp-s[12]-*.json"):
            shutil.copy(path, tmp_path / "runs" / method)
    for name in ("tables/suite_old.csv", "tables/mine.txt", "figures/suites.png"):  # of an earlier time, and no table
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert main(["--results", str(tmp_path), "--out", str(tmp_path)]) == 0
    kept = [p.name for p in (tmp_path / "tables").iterdir()]
    assert ("suite_old.csv" in kept, "mine.txt" in kept, "suites.csv" in kept) == (False, True, True)
    names = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert names == ["errors_digits_mlp_256x3.png", "flips_digits_mlp_256x3.png"]
    assert all(plt.imread(tmp_path / "figures" / name).std() > 0.01 for name in names)  # not blank
    assert not plt.get_fignums()
    out = capsys.readouterr().out
    assert "4 finished runs" in out
    assert "figure  performance_profile: no records of it yet" in out
    assert "suite   digits: " in out


def test_a_folder_without_runs_is_refused_in_one_line(tmp_path, capsys):
    assert main(["--results", str(tmp_path), "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), str(tmp_path) in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


WHOLE = RECORD.read_text()
NO_RECORDS = {
    "cut short": WHOLE[: len(WHOLE) // 2],
    "empty": "",
    "of another program": "[1, 2]",
    "without its parts": '{"schema": 1}',
    "of a newer version": json.dumps(json.loads(WHOLE) | {"schema": 99}),
}


@pytest.mark.parametrize("name", ["mnist-mlp-s9-0000000000.json", "mnist-mlp-s9-0000000000.failed.json"])
@pytest.mark.parametrize("content", NO_RECORDS.values(), ids=NO_RECORDS)
def test_a_file_that_is_no_record_is_named_in_one_line(content, name, tmp_path, capsys):
    (tmp_path / "results" / "runs" / "ste").mkdir(parents=True)
    shutil.copy(RECORD, tmp_path / "results" / "runs" / "ste")
    path = tmp_path / "results" / "runs" / "ste" / name
    path.write_text(content)
    assert main(["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.startswith("error: "), str(path) in err) == ("", 1, True, True)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "runs" / "ste").mkdir(parents=True)
    shutil.copy(RECORD, tmp_path / "runs" / "ste")
    (tmp_path / "out").write_text("a file")
    assert main(["--results", str(tmp_path), "--out", str(tmp_path / "out"), "--tables-only"]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), str(tmp_path / "out") in err) == (1, True)
