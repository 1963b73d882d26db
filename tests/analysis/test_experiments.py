"""What experiment files set: written ones by hand, committed ones against what `run.py` composes of them."""

import hydra
import pytest
from omegaconf import OmegaConf

from analysis.experiments import CONFIGS, experiment_names, experiment_settings, flat
from configs.schema import identity, register, resolve
from configs.settings import UserError

BASE = """# @package _global_
defaults:
  - override /dataset: mnist
  - override /net: mlp
epochs: 5
net: {width: 64}
"""
DERIVED = """# @package _global_
defaults:
  - base
  - override /method: bop
net:
  width: 32
  norm_scale: true
method:
  gamma: 1e-3
  stairs: ${epochs}
dataset: {center_crop: null}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      method: bop,bop2nd
      method.threshold: 1e-8,1e-7
      +method.flag: true,false
      precision: "'32',bf16"
      batch_size: choice(50, 100)
      seed: range(0,3)
      split_seed: 4
"""


@pytest.fixture
def configs(tmp_path):
    (tmp_path / "experiment").mkdir()
    for name, text in (("base", BASE), ("derived", DERIVED)):
        (tmp_path / "experiment" / f"{name}.yaml").write_text(text)
    return tmp_path


def test_settings_are_those_of_the_file_and_of_what_it_builds_on(configs):
    assert experiment_names(configs) == ["base", "derived"]
    base = {"limit_train": [0], "dataset.name": ["mnist"], "net.name": ["mlp"], "epochs": [5], "net.width": [64]}
    assert experiment_settings("base", configs) == base
    settings = experiment_settings("derived", configs)
    assert settings == base | {
        "net.width": [32],
        "net.norm_scale": [True],
        "method.gamma": [1e-3],
        "method.stairs": [5],
        "dataset.center_crop": [None],
        "method.name": ["bop", "bop2nd"],
        "method.threshold": [1e-8, 1e-7],
        "method.flag": [True, False],
        "precision": ["32", "bf16"],
        "batch_size": [50, 100],
        "seed": [0, 1, 2],
        "split_seed": [4],
    }
    assert {type(value) for value in settings["method.flag"]} == {bool}  # True == 1 would pass above


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epochs: [1", "expected"),
        ("# @package _global_\nepochs: ${nothing}", "nothing"),
        ("# @package _global_\ndefaults: [nowhere]", "nowhere"),
        ("# @package _global_\nhydra: {sweeper: {params: {seed: '0,,1'}}}", "0,,1"),
    ],
    ids=["no YAML", "interpolation", "base", "grid"],
)
def test_a_file_that_cannot_be_composed_is_named_in_one_line(configs, text, named):
    (configs / "experiment" / "broken.yaml").write_text(text)
    with pytest.raises(UserError, match=r"^configs/experiment/broken.yaml: .*$") as caught:
        experiment_settings("broken", configs)
    assert named in str(caught.value)
    assert experiment_settings("base", configs)["epochs"] == [5]  # and others still are


def test_an_unknown_name_is_refused_with_the_closest(configs):
    with pytest.raises(UserError, match=r"unknown experiment 'bse'; did you mean base\?"):
        experiment_settings("bse", configs)


SOME = ("bernoulli_cnn_mnist", "bernoulli_mnist", "bop2nd_mnist", "study_correction", "study_robustness")
ALL = pytest.param(experiment_names(), marks=pytest.mark.slow)


@pytest.mark.parametrize("names", [SOME, ALL], ids=["some", "all"])
def test_a_run_has_what_its_experiment_sets(names):
    """The second route: the whole configuration of a run of each experiment, with the schemas behind its names."""
    register()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = {name: hydra.compose("run", [f"+experiment={name}"]) for name in names}
    for name, config in composed.items():
        run = flat(identity(resolve(config)))
        grid = OmegaConf.load(CONFIGS / "experiment" / f"{name}.yaml").get("hydra", {}).get("sweeper", {})
        for key, values in experiment_settings(name).items():
            if key.removesuffix(".name") not in grid.get("params", {}):
                assert [run[key]] == values, (name, key)
            else:
                assert len(values) == len(str(grid.params[key.removesuffix(".name")]).split(",")), (name, key)
