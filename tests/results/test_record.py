"""Records: identity of a run, and files that are there whole or not at all."""

import json
import math
import re
import resource
from dataclasses import fields, replace

import pytest

from configs.schema import RunConfig
from configs.settings import UserError
from datamodules import DATASETS
from methods import METHODS
from methods.nets import NETS
from results.record import Record, load, save
from training.run import Run
from training.train import train


def a_record(**more) -> Record:
    fields = {"run_id": "x", "status": "done", "created": "now", "command": "c", "config": {}, "environment": {}}
    return Record(**(fields | more))


def test_what_is_saved_is_read_back(tmp_path):
    record = a_record(
        curves={"loss": [0.5, 0.25], "flips": [1, 2]},
        diagnostics={"0": {"agreement": [0.5, 0.125]}},
        test={"error": 1.5},
        config={"method": {"name": "Bop – τ"}, "dataset": {"path": '/data/[my  \u3000"own"\\]/x [ 1,  2 ]'}},
    )
    save(record, tmp_path / "new/folder/record.json")
    assert load(tmp_path / "new/folder/record.json") == record
    assert [p.name for p in (tmp_path / "new/folder").iterdir()] == ["record.json"]


def test_floats_have_seven_digits_and_no_nan_gets_into_json(tmp_path):
    save(a_record(curves={"loss": [1 / 3, math.nan, math.inf, 123456789.0, 1e-30 / 3]}), tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert '"loss": [ 0.3333333, null, null, 123456800.0, 3.333333e-31 ]' in text
    assert not re.search("NaN|Infinity", text)
    assert json.loads(text)["schema"] == 2


def test_a_full_disk_leaves_the_old_record_as_it_was(tmp_path):
    path = tmp_path / "record.json"
    save(a_record(), path)
    before, limit = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limit[1]))
    try:
        with pytest.raises(UserError, match=f"^cannot write {path}: File too large$"):
            save(a_record(curves={"loss": [0.5] * 2000}), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


OUTCOME = [
    {"seed": 1},
    {"split_seed": 1},
    {"epochs": 3},
    {"batch_size": 50},
    {"loss": "squared_hinge"},
    {"precision": "bf16"},
    {"gradient_clip": 1.0},
    {"limit_train": 100},
    {"select": "last"},
    {"devices": 2},
    {"num_nodes": 2},
    {"devices": 2, "batch_norm": "synchronized"},
    {"method": METHODS["real"].Config()},
    {"method": METHODS["ste"].Config(lr=0.5)},
    {"net": NETS["mlp"].Config()},
    {"net": NETS["tiny"].Config(width=3)},
    {"dataset": DATASETS["mnist"].Config()},
    {"dataset": DATASETS["digits"].Config(augment="crop")},
]
NO_MATTER = [
    {"logger": {"_target_": "x"}},
    {"device": "auto"},
    {"compile": True},
    {"deterministic": False},
    {"diagnostics": False},
    {"test": False},
    {"data_dir": "elsewhere"},
    {"results_dir": "elsewhere"},
    {"output_dir": "elsewhere"},
    {"save_weights": False},
    {"packed_dir": "elsewhere"},
    {"checkpoint_seconds": 1.0},
    {"rerun": True},
]


def test_a_run_is_all_that_changes_its_outcome_and_nothing_else(configure):
    base = configure().config
    assert re.fullmatch(r"digits-tiny-s0-[0-9a-f]{10}", Run(base).id)
    assert {name for more in OUTCOME + NO_MATTER for name in more} == {field.name for field in fields(RunConfig)}
    assert all(getattr(base, name) != value for more in NO_MATTER + OUTCOME for name, value in more.items())
    ids = [Run(replace(base, **more)).id for more in OUTCOME]
    assert len({Run(base).id, *ids}) == len(ids) + 1
    assert {Run(replace(base, **more)).id for more in NO_MATTER} == {Run(base).id}
    assert Run(replace(base, seed=7, net=NETS["mlp"].Config())).id.startswith("digits-mlp-s7-")


def test_records_lie_under_their_method(configure, tmp_path):
    run = configure("method=real", f"results_dir={tmp_path}/r")
    assert run.record_path == tmp_path / "r/real" / f"{run.id}.json"


def test_a_value_of_many_digits_is_found_again(configure):
    run = configure("method.lr=0.012345678901234", "epochs=1")
    record = train(run)
    again = train(run)
    assert again.run_id == record.run_id
    assert again.created == record.created
    assert load(run.record_path).config["method"]["lr"] == 0.012345678901234


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [(part, None, "no mapping") for part in ("config", "curves", "diagnostics", "validation")]
    + [(part, "x", "neither a mapping nor empty") for part in ("test", "packed")],
)
def test_a_record_with_a_part_of_another_kind_is_refused(tmp_path, part, value, reason):
    save(a_record(), path := tmp_path / "r.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(UserError, match=rf"^{path} is not a readable record: its {part} is {reason}; remove it"):
        load(path)
