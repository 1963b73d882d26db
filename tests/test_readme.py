"""The pages of this repository: examples run, commands compose, links lead somewhere, figures are the tables'."""

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from packaging.requirements import Requirement

import methods.nets
from analysis.dashboard.__main__ import _parser as dashboard_parser
from configs import registry
from configs.registry import DATASETS, METHODS, NETS, Registry
from configs.schema import CONFIGS, register, resolve
from sweeps.settings import register_schemas
from training.train import train

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ROOT.iterdir()
    if not top.name.startswith(".") and top.name != "outputs"
    for path in ([top] if top.suffix == ".md" else top.rglob("*.md"))
    if "tables" not in path.relative_to(ROOT).parts
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


def section(page: str, heading: str) -> str:
    return (ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


# examples


def test_the_optimizers_example_learns_and_keeps_weights_at_plus_minus_one(capsys):
    example = blocks("README.md", "python")[0]
    assert "from binarized.optim import Bop" in example  # the wheel's name; in the checkout the same files have another
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(example.replace("from binarized.", "from methods."), names)
    loss = float(re.search(r"loss (\S+), weights \{(?:1\.0|-1\.0|, )+\}\n$", capsys.readouterr().out)[1])
    assert loss == pytest.approx(names["loss"].item(), abs=1e-3)
    assert loss < 0.5  # knowing nothing: 2.3
    for weight in names["binary"]:
        assert set(weight.unique().tolist()) == {-1.0, 1.0}
    assert names["flips"].state[names["binary"][0]]["m"].abs().max() > 0


def test_bop2nd_takes_the_place_of_bop_in_the_example():
    (other,) = re.findall(r"`(Bop2ndOrder\(.*?\))`", section("README.md", "An optimizer in your own loop"))
    example = blocks("README.md", "python")[0].replace("from binarized.", "from methods.")
    example = example.replace("import Bop ", "import Bop2ndOrder ").replace("flips = Bop(", f"flips = {other}  # (")
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(example, names)
    assert type(names["flips"]).__name__ == "Bop2ndOrder"
    assert names["loss"].item() < 0.5


def test_the_net_example_is_found_by_its_file_and_trained(configure, tmp_path, monkeypatch):
    (tmp_path / "methods/nets").mkdir(parents=True)
    (tmp_path / "methods/nets/mynet.py").write_text(blocks("README.md", "python")[1])
    with monkeypatch.context() as patch:
        patch.setattr(registry, "ROOT", tmp_path)
        assert Registry("methods.nets").names == ("mynet",)
    monkeypatch.setattr(methods.nets, "__path__", [*methods.nets.__path__, str(tmp_path / "methods/nets")])
    monkeypatch.setitem(vars(NETS), "names", (*NETS.names, "mynet"))
    try:
        (command,) = re.findall(
            r"`python run.py (.*? net=mynet .*?)`", section("README.md", "A method on your own net")
        )
        record = train(configure(*shlex.split(command), "epochs=4"))
        for method in METHODS:  # "every method trains it"
            METHODS[method](METHODS[method].Config(), NETS["mynet"].Config(), (1, 8, 8), 10, "cross_entropy")
    finally:
        sys.modules.pop("methods.nets.mynet", None)
    assert record.config["net"] == {"name": "mynet", "width": 512}
    assert record.model["binary_parameters"] == 64 * 512 + 512 * 10
    assert record.validation["error"] < 30


def test_the_example_of_a_run_from_python_stops_early_and_tells_its_errors(tmp_path, monkeypatch, capsys):
    (example,) = blocks("training/README.md", "python")
    for name in ("BNN_DATA", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    record = names["record"]
    assert record.config["method"]["name"] == "bop"
    assert record.test["error"] < 20
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"{record.validation['error']} {record.test['error']}"


# commands


def commands(start: str) -> list[str]:
    """What follows `start` in every command of the pages, blocks and running text, without comments."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
        for line in lines:
            words = line.partition(" #")[0].strip()
            if re.match(rf"{re.escape(start)}( |$)", words):
                found.append(words.removeprefix(start).strip())
    assert found
    return sorted(set(found))


def compose(config_name: str, words: list[str]) -> Any:
    """Resolves what Hydra makes of a command; of a grid, its first job."""
    register()
    register_schemas()
    chosen = []
    for override in OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")]):
        if isinstance(values := override.value(), Glob):
            files = sorted(path.stem for path in Path(CONFIGS, override.key_or_group).glob("*.yaml"))
            chosen.append(f"+{override.key_or_group}={values.filter(files)[0]}")
        elif override.is_sweep_override():
            chosen.append(f"{override.get_key_element()}={next(override.sweep_string_iterator())}")
        elif not override.key_or_group.startswith("hydra"):
            chosen.append(override.input_line)
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        return resolve(hydra.compose(config_name, chosen))


KNOWN = ("…", "NAME", "tanhsign", "mynet", "tuned=mine")  # of the text, no words to type; and examples


@pytest.mark.parametrize(
    ("config_name", "words"),
    [
        (config_name, words)
        for start, config_name in {
            "python run.py": "run",
            "uv run run.py": "run",
            "python -m sweeps": "sweep",
            "python -m sweeps.suite": "suite",
            "python -m sweeps.perturb": "suite",
        }.items()
        for words in commands(start)
        if not any(word in words for word in (*KNOWN, "--help"))
    ],
)
def test_commands_compose(config_name, words):
    config = compose(config_name, shlex.split(words))
    for group, name in re.findall(r"(?<![\w/.])(method|dataset|net)=(\w+)", words):
        assert getattr(config, group).name == name


@pytest.mark.parametrize("page", PAGES)
def test_methods_that_pages_name_are_there(page):
    named = re.findall(r"\bmethods?=\[?([a-z0-9_,]+)", (ROOT / page).read_text())
    assert {name for names in named for name in names.split(",")} <= {*METHODS, "tanhsign"}


def test_commands_of_the_dashboards_parse():
    for words in commands("python -m analysis.dashboard"):
        dashboard_parser().parse_args(shlex.split(words))
    with pytest.raises(SystemExit):
        dashboard_parser().parse_args(["workspaces"])


def test_modules_that_pages_run_are_there():
    for module in commands("python -m"):
        name = module.split()[0].replace(".", "/")
        assert (ROOT / f"{name}.py").exists() or (ROOT / name / "__main__.py").exists(), module


def test_the_two_commands_of_a_newcomer():
    first, second = re.search(r"```bash\n(pip install uv .*?)```", section("README.md", "Start"), re.S)[1].splitlines()
    assert re.split(r"\s+#", first)[0] == "pip install uv && uv run run.py"
    assert re.split(r"\s+#", second)[0] == "uv run pytest"


# links


def anchor(heading: str) -> str:
    """As GitHub makes them: lower case, spaces to hyphens, without punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, place = target.partition("#")
        path = ((ROOT / page).parent / name) if name else ROOT / page
        assert path.exists(), target
        if place:
            assert place in map(anchor, re.findall(r"^#+ (.*)$", path.read_text(), re.M)), target


def test_the_contents_name_every_section():
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"\]\(#([^)]+)\)", text) == [anchor(heading) for heading in re.findall(r"^## (.*)$", text, re.M)]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_are_there(page):
    text = (ROOT / page).read_text()
    folders = "configs|datamodules|methods|training|results|sweeps|analysis|benchmarks|tests"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", text):
        made = name.startswith("configs/tuned") or "mynet" in name
        assert made or (ROOT / name).exists(), name


# figures, lists and versions


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    body = [line for i, line in enumerate(lines) if not re.match(r"[|\s:-]+$", line)
            and not (i + 1 < len(lines) and re.match(r"[|\s:-]+$", lines[i + 1]))]  # fmt: skip
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def test_the_table_at_the_top_is_that_of_the_verdict():
    shown = rows((ROOT / "README.md").read_text().partition("**Contents:**")[0])
    table = pd.read_csv(ROOT / "analysis/tables/verdict.csv", dtype=str, keep_default_na=False)
    assert [[row[0], *row[2:]] for row in shown] == table.to_numpy().tolist()
    assert {row[0] for row in shown} <= set(METHODS)


def test_the_verdict_names_every_difference_with_its_interval():
    """`by .68 (.16 to 1.20)`: those of the tables of suites."""
    text = " ".join(section("README.md", "Verdict").split())
    for path in sorted((ROOT / "analysis/tables").glob("suite_*.csv")):
        if path.stem.endswith(("_details", "_perturbed")):
            continue
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert not table["verdict"].str.startswith("better").any()  # it says that there is none
        for _, row in table[table["verdict"].str.startswith("worse")].iterrows():
            method = row["method"].partition(" ")[0]
            gap = row["difference to ste"].lstrip("+").removeprefix("0")
            limits = re.sub(r"[+]?0?([.\d]+)", r"\1", row["95 % interval, all methods together"])
            assert re.search(
                rf"`{method}`[^`]*by {re.escape(gap)}(?: points)?(?: \({re.escape(limits)}\)|(?! ?\(| points \())", text
            ), row


def test_the_page_of_data_sets_has_all():
    shown = [row[0].strip("`") for row in rows((ROOT / "datamodules/README.md").read_text())]
    assert shown[: len(DATASETS)] == list(DATASETS)


def test_versions_are_those_of_the_project_and_serve_every_dependency():
    lines = [line for line in (ROOT / "versions.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line) for line in lines), "names and versions only"
    versions = dict(line.split("==") for line in lines)
    groups = PROJECT["dependency-groups"]
    needed = [*PROJECT["project"]["dependencies"], *groups["benchmark"], *groups["dev"]]
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(versions[requirement.name.lower()]), str(requirement)


def test_the_newest_version_is_named_everywhere():
    version = PROJECT["project"]["version"]
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[0] == version
    assert re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1] == version
