"""logger=wandb without a key: what an offline run's file holds."""

import numpy as np
import pytest

from results.record import load
from tests.offline import flatten, read_back

pytestmark = pytest.mark.usefixtures("without_a_key")


def test_an_offline_run_has_config_curves_diagnostics_and_the_record(command, tmp_path):
    outcome = command("-m", "logger=wandb", "epochs=3", "seed=3,4", "method.lr=0.02")
    assert outcome.status == 0
    said = [line for line in outcome.out.splitlines() if line.startswith("W&B: ")]
    assert said == [
        "W&B: no API key found (WANDB_API_KEY or `wandb login`), logging offline; `wandb sync` uploads it later"
    ]

    records = {r.config["seed"]: r for r in map(load, (tmp_path / "runs/ste").iterdir())}
    paths = list((tmp_path / "outputs/wandb").glob("offline-run-*/*.wandb"))
    assert len(paths) == 2  # a grid: a W&B run for each of its runs
    runs = {config["seed"]: (config, *rest) for config, *rest in map(read_back, paths)}
    assert set(runs) == {3, 4}
    for seed, (config, rows, summary, exit_code) in runs.items():
        record = records[seed]
        for name in ("epochs", "batch_size", "loss", "method", "net", "dataset"):
            assert config[name] == record.config[name]
        assert config["method"]["lr"] == 0.02

        rows = [row for row in rows if "epoch" in row]
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        for column in (
            "train_loss",
            "val_error",
            "lr",
            "flip_rate",
            "flip_flop",
            "agreement",
            "saturation",
            "net_flips",
        ):
            assert [row[column] for row in rows] == pytest.approx(record.curves[column], rel=1e-5), column

        flat = flatten(summary)
        for name, value in flatten({"test": record.test, "validation": record.validation, "cost": record.cost}).items():
            assert flat[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5)), name
        for name in ("run_id", "status", "best_epoch"):
            assert flat[name] == getattr(record, name)
        assert flat["environment.torch"] == record.environment["torch"]
        for layer, quantities in record.diagnostics.items():
            for quantity, values in quantities.items():
                found = np.array(flat[f"diagnostics.{layer}.{quantity}"])
                np.testing.assert_allclose(found, values, rtol=1e-5)  # a histogram has a list for every epoch
        assert exit_code == 0


@pytest.mark.slow
def test_a_failed_run_ends_its_own_and_the_next_has_another(command, tmp_path):
    outcome = command("-m", "logger=wandb", "epochs=1", "method=real", "loss=squared_hinge", "method.lr=1e30,0.01")
    assert outcome.status == 2
    runs = [read_back(path) for path in (tmp_path / "outputs/wandb").glob("offline-run-*/*.wandb")]
    assert {config["method"]["lr"]: exit_code for config, _, _, exit_code in runs} == {1e30: 1, 0.01: 0}
