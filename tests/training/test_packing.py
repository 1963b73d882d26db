"""What a run says of its packed net, against the file that it leaves and the weights that it keeps."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import packed
from methods import METHODS
from packed.__main__ import main
from packed.operations import PackError, Threshold
from results.record import Record, load
from training import packing
from training.packing import pack
from training.summary import packed_text
from training.train import conclude, train


def predictions(training, split):
    loader = training.data.test_dataloader() if split == "test" else training.data.val_dataloader()
    method = training.method.eval()
    with torch.no_grad():
        return (
            np.concatenate([method.predict(x).argmax(1).numpy() for x, _ in loader]),
            loader.labels.numpy(),
            torch.cat([x for x, _ in loader.unscaled()]).numpy(),
        )


@pytest.mark.parametrize("method", [name for name in METHODS if name != "real"])
def test_the_packed_net_of_every_method_is_the_trained_one(method, configure, assemble):
    training = assemble(configure(f"method={method}", "epochs=2", "limit_train=300"))
    training.fit()
    conclude(training)
    record = load(training.run.record_path)
    net = packed.load(training.run.packed_paths[0])
    assert net.info["run_id"] == record.run_id
    assert record.packed["bytes"] == training.run.packed_paths[0].stat().st_size
    assert record.packed["float32_bytes"] == net.info["float32_bytes"]
    for split in ("validation", "test"):
        expected, labels, images = predictions(training, split)
        found = packed.engine(net).predict(images)
        np.testing.assert_array_equal(found, expected)
        assert record.packed[split] == {
            "error": pytest.approx(100 * (found != labels).mean(), rel=1e-6),
            "images": len(labels),
            "differ": 0,
            "differences": [],
        }
        assert record.packed[split]["error"] == pytest.approx(getattr(record, split)["error"], abs=1e-4)
    assert record.packed["images_per_second"] > 0
    assert record.packed["seconds"] > 0


@pytest.mark.parametrize("net", ["vgg_small", "resnet20"])
def test_the_packed_net_of_a_net_with_real_layers_is_the_trained_one(net, configure, assemble):
    training = assemble(configure(f"net={net}", "net.width=4", "epochs=2", "limit_train=300"))
    training.fit()
    conclude(training)
    record = load(training.run.record_path)
    expected, labels, images = predictions(training, "test")
    found = packed.engine(packed.load(training.run.packed_paths[0])).predict(images)
    np.testing.assert_array_equal(found, expected)
    assert record.packed["test"] == {
        "error": pytest.approx(100 * (found != labels).mean(), rel=1e-6),
        "images": len(labels),
        "differ": 0,
        "differences": [],
    }


@pytest.mark.parametrize(
    "scaling", ["binary", "unit", "standardize", "lcn", "[constants,mean,sd]"], ids=lambda s: s.strip("[").split(",")[0]
)
def test_every_scaling_reaches_the_packed_net(scaling, configure, assemble):
    settings = ["dataset.scaling=constants", "dataset.mean=[0.3]", "dataset.sd=[0.4]"]
    settings = settings if scaling[0] == "[" else [f"dataset.scaling={scaling}"]
    training = assemble(configure(*settings, "epochs=1"))
    training.fit()
    conclude(training)
    record = load(training.run.record_path)
    assert record.packed["test"]["differ"] == 0
    net = packed.load(training.run.packed_paths[0])
    assert net.input.takes_pixels == (scaling != "lcn")
    assert net.input.kind == ("signs" if scaling == "binary" else "real")
    if net.input.takes_pixels:
        expected, _, images = predictions(training, "test")
        np.testing.assert_array_equal(packed.engine(net).predict(images), expected)


def test_predictions_that_differ_are_counted_and_told(configure, assemble, monkeypatch):
    training = assemble(configure("epochs=1"))
    training.fit()
    whole = packing.fold

    def broken(*arguments, **more):
        net = whole(*arguments, **more)
        first = next(o for o in net.operations if isinstance(o, Threshold))
        first.threshold[:] = np.abs(first.threshold).max()
        return net

    monkeypatch.setattr(packing, "fold", broken)
    conclude(training)
    record = load(training.run.record_path)
    expected, labels, images = predictions(training, "test")
    found = packed.engine(packed.load(training.run.packed_paths[0])).predict(images)
    differing = np.flatnonzero(found != expected)
    test = record.packed["test"]
    assert test["differ"] == len(differing) > 10
    assert test["error"] == pytest.approx(100 * (found != labels).mean(), rel=1e-6)
    assert len(test["differences"]) == 10
    for text, index in zip(test["differences"], differing, strict=False):
        assert text.startswith(f"{index}: {expected[index]} trained, {found[index]} packed; ")
        assert "signs of layer 3 differ" in text


def test_the_packed_net_of_folders_names_their_classes(configure, assemble, tmp_path, capsys):
    for part, name in itertools.product(("train", "test"), ("sun", "moon", "black hole")):
        (tmp_path / "images" / part / name).mkdir(parents=True)
        for i in range(8):
            pixels = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{i}.png")
    size = ("dataset.size=8", "dataset.channels=1", f"data_dir={tmp_path}/images", "batch_size=7")
    training = assemble(configure("dataset=folder", *size, "epochs=1"))
    training.fit()
    conclude(training)
    path = training.run.packed_paths[0]
    assert packed.load(path).info["classes"] == "black hole/moon/sun"
    assert main(["c", str(path)]) == 0
    assert "classes black hole/moon/sun" in capsys.readouterr().out


def test_what_is_not_explained_says_why(configure, assemble, monkeypatch):
    training = assemble(configure("epochs=1"))
    training.fit()
    taken = []

    def explain(net, packed_net, x, images, places):
        taken.append((len(x), len(images), places))
        raise PackError("the nets cannot be told side by side")

    monkeypatch.setattr(packing, "explain", explain)
    monkeypatch.setattr(training.method, "predict", lambda x: torch.eye(10)[torch.zeros(len(x), dtype=int)])
    training.data.setup("test")
    pack(training)
    test = training.record.packed["test"]
    assert test["differ"] > len(test["differences"]) == 10
    assert all(t.endswith(": not explained: the nets cannot be told side by side") for t in test["differences"])
    assert all(len(places) < x == images for x, images, places in taken)  # the whole batch, as it was predicted
    monkeypatch.setattr(packing, "explain", lambda *_: [])
    pack(training)
    (text, *_) = training.record.packed["test"]["differences"]
    assert text.endswith(": not explained: both predict the same where they are computed layer by layer")


def test_a_subsets_net_is_evaluated_on_its_own_test_set(configure, tmp_path, capsys):
    generator = np.random.default_rng(0)
    (tmp_path / "svhn_subset").mkdir()
    for part, count in (("train", 200), ("test", 30)):
        images = generator.integers(0, 256, (32, 32, 3, count)).astype(np.uint8)
        labels = np.arange(count)[:, None] % 10 + 1
        savemat(tmp_path / "svhn_subset" / f"{part}_32x32.mat", {"X": images, "y": labels.astype(np.uint8)})
    run = configure("dataset=svhn", "dataset.subset=true", f"data_dir={tmp_path}", "epochs=1", "limit_train=0")
    error = train(run).packed["test"]["error"]
    capsys.readouterr()
    assert main(["eval", str(run.packed_paths[0]), "--data-dir", str(tmp_path)]) == 0
    assert f"error {error:.2f} % ({round(30 * error / 100)} of 30 images of svhn subset)" in capsys.readouterr().out


def test_a_net_that_cannot_be_packed_says_why(configure):
    record = train(configure("method=real", "epochs=1"))
    assert record.packed == {
        "refused": "layer 0 (BinaryConv2d) has real weights, and so has every other: there is nothing to pack"
    }
    assert packed_text(record.packed).startswith("no: layer 0 (BinaryConv2d) has real weights")


def test_a_failure_of_packing_does_not_lose_the_run(configure, assemble, monkeypatch, capsys):
    def fails(*arguments, **more):
        raise RuntimeError("a bug\nof two lines")

    training = assemble(configure("epochs=1"))
    training.fit()
    monkeypatch.setattr(packing, "fold", fails)
    conclude(training)
    assert load(training.run.record_path).packed == {"refused": "RuntimeError: a bug of two lines"}
    assert "packed: RuntimeError: a bug of two lines" in capsys.readouterr().err


def test_a_run_without_a_test_packs_nothing(configure, tmp_path):
    run = configure("epochs=1", "test=false", f"packed_dir={tmp_path}/kept")
    assert train(run).packed == {}
    assert not any(path.exists() for path in run.packed_paths)


def test_no_packed_net_stays_beside_new_weights(configure, tmp_path):
    """In `packed_dir` it stays: another results_dir may have the record that speaks of it."""
    settings = "epochs=1", f"packed_dir={tmp_path}/kept"
    other = configure("seed=1", *settings)
    for run in (configure(*settings), other):
        train(run)
    again = configure(*settings, "rerun=true", "test=false")
    assert again.packed_paths == configure(*settings).packed_paths
    assert [path.exists() for path in again.packed_paths] == [True, True]
    assert train(again).packed == {}
    assert again.weights.exists()
    assert [path.exists() for path in again.packed_paths] == [False, True]
    assert [path.exists() for path in other.packed_paths] == [True, True]


def test_packed_nets_are_kept_where_asked(configure, tmp_path):
    run = configure("epochs=1", f"packed_dir={tmp_path}/kept", "save_weights=false")
    record = train(run)
    (path,) = (tmp_path / "kept").rglob("*.safetensors")
    assert path == tmp_path / "kept/ste" / f"{record.run_id}.safetensors"
    assert not run.folder.exists()


def test_records_from_before_have_no_packed_net():
    fields = {"run_id": "x", "status": "done", "created": "now", "command": "c", "config": {}, "environment": {}}
    assert Record(**fields).packed == {}


def test_the_summary_is_one_line():
    record = {"bytes": 42_000, "float32_bytes": 1_150_000, "test": {"error": 2.789, "images": 10_000, "differ": 0}}
    text = "41 KiB (fp32 1.1 MiB, 27.4× smaller), test error 2.79 %, 0 of 10,000 predictions differ"
    assert packed_text(record) == text


def test_the_reference_engine_packs_small_nets(configure, assemble, monkeypatch):
    training = assemble(configure("epochs=1"))
    training.fit()
    training.data.setup("test")
    for least, name in ((1e12, "reference"), (0, "fast")):
        monkeypatch.setattr(packing, "FAST_FROM", least)
        pack(training)
        assert training.record.packed["engine"] == name


def test_a_net_that_was_trained_in_bf16_is_packed_too(configure):
    packed = train(configure("method=pbop", "precision=bf16", "limit_train=300")).packed
    assert "refused" not in packed
    assert 0 <= packed["test"]["error"] < 90  # of ten classes by chance
