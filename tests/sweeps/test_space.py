"""Search spaces: every method has one that is valid, reaches the published settings, and is as large as the others."""

import itertools
import math

import hydra
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from configs.schema import CONFIGS, register, resolve
from configs.settings import UserError
from methods import METHODS
from methods.nets import NETS
from sweeps.space import SPACES, Space, load_space


@pytest.fixture(params=METHODS)
def name(request) -> str:
    return request.param


def test_every_method_has_a_space_of_comparable_size(name):
    space = load_space(name)
    assert space, f"{name} needs {SPACES}/{name}.yaml"
    assert 2 <= len(space.tuned) <= 8
    assert "lr" in space.tuned


def test_there_is_no_space_without_a_method():
    assert {path.stem for path in SPACES.glob("*.yaml")} <= set(METHODS)


def ends(values) -> list:
    return list(values.choices) if isinstance(values, CategoricalDistribution) else [values.low, values.high]


def test_a_method_can_be_made_at_every_corner_of_its_space(name):
    space = load_space(name)
    assert space
    net = NETS["tiny"].Config(width=2)
    for corner in itertools.product(*map(ends, space.tuned.values())):
        config = METHODS[name].Config(**space.fixed, **dict(zip(space.tuned, corner, strict=True)))
        method = METHODS[name](config, net, (1, 8, 8), 10, "cross_entropy")
        for schedule in method.schedules().values():
            assert all(math.isfinite(schedule(t)) for t in (0.0, 0.5, 0.999))


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [
        (
            "bop_mnist",
            {"lr": 1e-2, "threshold": 1e-8, "gamma": 1e-3, "gamma_end": 1e-4, "gamma_schedule": "exponential"},
        ),
        (
            "bop2nd_mnist",
            {
                "lr": 1e-2,
                "gamma": 1e-2,
                "gamma_end": 1e-5,
                "gamma_schedule": "exponential",
                "sigma": 1e-7,
                "sigma_end": 1e-2,
                "sigma_schedule": "linear",
            },
        ),
        ("binarynet_mnist", {"lr": 3e-3, "glorot_scale": True}),
        ("binaryconnect_mnist", {"lr": 1e-3, "glorot_scale": True}),
    ],
)
def test_settings_that_are_known_to_work_lie_inside(experiment, settings):
    register()
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        method = resolve(hydra.compose("run", [f"+experiment={experiment}"])).method
    space = load_space(method.name)
    assert space
    defaults = METHODS[method.name].Config(**space.fixed)
    for key, value in settings.items():
        assert getattr(method, key) == value
        if key not in space.tuned:
            assert getattr(defaults, key) == value
        elif isinstance(values := space.tuned[key], CategoricalDistribution):
            assert value in values.choices
        else:
            assert values.low < value < values.high


def refusal(tmp_path, text: str, method: str = "bop") -> str:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_space(method, file)
    message = str(error.value)
    assert message.startswith(f"{file}")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tuned: {treshold: {log: [1e-9, 1e-5]}}", ["'treshold'", "did you mean threshold?", "gamma_end"]),
        ("tuned: {name: {categorical: [bop, ste]}}", ["'name'", "threshold"]),
        ("tuned: {gamma: {log: [1e-5, 2]}}", ["gamma=2", "≤ 1"]),
        ("tuned: {gamma: {linear: [-0.5, 1]}}", ["gamma=-0.5", "≥ 0"]),
        ("tuned: {lr: {linear: [0, 1]}}", ["lr=0", "> 0"]),
        ("tuned: {gamma: {log: [0, 1]}}", ["gamma", "log scale", "above 0"]),
        ("tuned: {gamma: {log: [1e-2, 1e-5]}}", ["gamma", "low < high"]),
        ("tuned: {gamma: {log: [1e-2, 1e-2]}}", ["gamma", "low < high"]),
        ("tuned: {gamma: {log: [1e-2]}}", ["gamma", "[low, high]"]),
        ("tuned: {gamma: {log: 1e-2}}", ["gamma", "[low, high]"]),
        (
            "tuned: {gamma: {logg: [1e-5, 1e-2]}}",
            ["'logg'", "did you mean log?", "categorical, linear, log"],
        ),
        ("tuned: {gamma: [1e-5, 1e-2]}", ["gamma", "log, linear, categorical"]),
        ("tuned: {gamma: {log: [1e-5, fast]}}", ["gamma", "fast"]),
        ("tuned: {gamma_schedule: {linear: [constant, linear]}}", ["gamma_schedule", "two numbers"]),
        ("tuned: {gamma_schedule: {categorical: [linaer, constant]}}", ["gamma_schedule=linaer", "linear"]),
        ("tuned: {gamma_schedule: {categorical: [linear]}}", ["gamma_schedule", "two or more"]),
        ("tuned: {gamma_schedule: {categorical: [linear, linear]}}", ["gamma_schedule", "two or more"]),
        ("tuned: {gamma: {log: [1e-5, 1e-2]}}\nfixed: {gamma: 1e-3}", ["gamma", "both fixed and tuned"]),
        ("tuned: {gamma: {log: [1e-5, 1e-2]}}\nfixed: {gamma_end: 3}", ["gamma_end=3", "≤ 1"]),
        ("tuned: {gamma: {log: [1e-5, 1e-2]}}\nfix: {gamma_end: 0}", ["'fix'", "fixed, tuned"]),
        ("gamma: {log: [1e-5, 1e-2]}", ["tuned:"]),
        ("tuned: [gamma]", ["tuned:"]),
        ("tuned: {gamma: {log: [1e-5, 1e-2]}}\nfixed: 3", ["fixed:"]),
        ("tuned: {gamma: {log: [1e-5, 1e-2", ["not a readable search space"]),
        ("", ["tuned:"]),
    ],
)
def test_a_space_that_is_not_valid_is_refused_with_what_is(tmp_path, text, named):
    message = refusal(tmp_path, text)
    for word in named:
        assert word in message, message


def test_scales(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(
        "fixed: {power: 3}\n"
        "tuned: {gamma: {log: [1e-5, 1e-2]}, gamma_end: {linear: [0, 1]}, stairs: {linear: [2, 9]},\n"
        "        schedule_every: {categorical: [step, epoch]}}"
    )
    assert load_space("bop", file) == Space(
        {"power": 3.0},
        {
            "gamma": FloatDistribution(1e-5, 1e-2, log=True),
            "gamma_end": FloatDistribution(0.0, 1.0),
            "stairs": IntDistribution(2, 9),
            "schedule_every": CategoricalDistribution(["step", "epoch"]),
        },
    )


def test_numbers_have_three_digits_and_stay_in_their_range():
    space = Space(
        {},
        {
            "a": FloatDistribution(1e-6, 1.0, log=True),
            "b": FloatDistribution(0.12345, 0.98765),
            "c": IntDistribution(1, 5000),
            "d": CategoricalDistribution([0.12345, True, "x"]),
        },
    )
    low = space.suggest(FixedTrial({"a": 0.0123456789, "b": 0.12345, "c": 1234, "d": 0.12345}))
    assert low == {"a": 0.0123, "b": 0.12345, "c": 1234, "d": 0.12345}
    high = space.suggest(FixedTrial({"a": 1.2355e-5, "b": 0.9876, "c": 5000, "d": True}))
    assert high == {"a": 1.24e-5, "b": 0.98765, "c": 5000, "d": True}


def test_the_grid_is_the_finest_that_fits():
    space = Space({}, {"a": FloatDistribution(1e-3, 1e-1, log=True), "b": CategoricalDistribution(["x", "y"])})
    assert [(point["a"], point["b"]) for point in space.grid(7)] == [
        (1e-3, "x"), (1e-3, "y"), (pytest.approx(1e-2), "x"), (pytest.approx(1e-2), "y"), (1e-1, "x"), (1e-1, "y")
    ]  # fmt: skip
    assert [point["a"] for point in space.grid(5)] == [1e-3, 1e-3, 1e-1, 1e-1]
    assert len(space.grid(8)) == 8
    with pytest.raises(UserError, match="trials=3 is too few for a grid, which has at least 4 points here"):
        space.grid(3)


def test_a_grid_of_whole_numbers_and_choices_ends_with_all_of_them():
    space = Space({}, {"a": IntDistribution(2, 4), "b": CategoricalDistribution([1, 2])})
    assert sorted((point["a"], point["b"]) for point in space.grid(100)) == [(a, b) for a in (2, 3, 4) for b in (1, 2)]
    linear = Space({}, {"a": FloatDistribution(0.0, 1.0)}).grid(5)
    assert torch.tensor([point["a"] for point in linear]).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_values_near_the_edge_of_their_range_are_named():
    space = Space(
        {},
        {
            "a": FloatDistribution(1e-4, 1.0, log=True),
            "b": FloatDistribution(0.0, 2.0),
            "c": IntDistribution(1, 101),
            "d": CategoricalDistribution([1, 2, 3]),
        },
    )
    inside = {"a": 1.6e-4, "b": 1.89, "c": 50, "d": 1}  # 5 % of a's four decades end at 1.585e-4
    assert space.near_edges(inside) == []
    assert space.near_edges(inside | {"a": 1.58e-4}) == ["a=0.000158 of [0.0001, 1]"]
    assert space.near_edges({"a": 0.64, "b": 1.91, "c": 101, "d": 3}) == [
        "a=0.64 of [0.0001, 1]",
        "b=1.91 of [0, 2]",
        "c=101 of [1, 101]",
    ]
