"""python -m packed: what the commands print, and one line where something is wrong."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import packed
from datamodules import DATASETS
from datamodules.digits import Config, Digits
from packed.__main__ import main
from packed.fold import fold
from packed.sizes import compared, human


@pytest.fixture(scope="module")
def trained(make):
    return make("ste", "tiny", seed=1, shape=(1, 8, 8), outliers=False)


@pytest.fixture
def path(trained, tmp_path):
    net = fold(trained.net, (1, 8, 8), "symmetric", info={"run_id": "tiny-1", "dataset": "digits"})
    packed.save(net, tmp_path / "net.safetensors")
    return str(tmp_path / "net.safetensors")


DATA = ", ".join(sorted(DATASETS.keys() - {"folder"}))


def wrong_on_digits(trained):
    data = Digits(Config(), "none", batch_size=100, seed=0, split_seed=0)
    test = data.read_test()
    with torch.no_grad():
        found = trained.net((test.images.float() - 127.5) / 127.5).argmax(1)
    return int((found != test.labels).sum()), len(test.labels)


def test_info_lists_operations_and_bytes(path, capsys):
    assert main(["info", path]) == 0
    out = capsys.readouterr().out
    assert "run_id         tiny-1" in out
    assert "1×8×8 pixels as bytes" in out
    assert [line.split()[1] for line in out.splitlines() if line.endswith("bytes") and line[:2] == "  "] == [
        "conv", "pool", "threshold", "flatten", "dense", "threshold", "dense", "norm",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_eval_gives_the_trained_nets_error(engine, path, trained, capsys):
    wrong, count = wrong_on_digits(trained)
    assert main(["eval", path, "--engine", engine, "--threads", "2"]) == 0
    out = capsys.readouterr().out
    assert f"error {100 * wrong / count:.2f} % ({wrong} of {count} images of digits)" in out
    assert f"{engine} engine, 2 threads" in out


def test_eval_reads_a_folder_of_images(path, trained, tmp_path, capsys):
    test = Digits(Config(), "none", batch_size=100, seed=0, split_seed=0).read_test()
    with torch.no_grad():
        found = trained.net((test.images.float() - 127.5) / 127.5).argmax(1)
    wrong = 0
    for i in range(60):
        folder = tmp_path / "images" / str(int(test.labels[i]))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.images[i, 0].numpy()).save(folder / f"{i}.png")
        wrong += int(found[i] != test.labels[i])
    assert len(list((tmp_path / "images").iterdir())) == 10
    assert main(["eval", path, str(tmp_path / "images")]) == 0
    assert f"({wrong} of 60 images" in capsys.readouterr().out


def test_eval_of_a_subsets_net_reads_the_subset(make, tmp_path, capsys):
    """Without a data set it is the one of the run; svhn itself would be the published set, which is not there."""
    generator = np.random.default_rng(0)
    (tmp_path / "svhn_subset").mkdir()
    for part, count in (("train", 3), ("test", 40)):
        images = generator.integers(0, 256, (32, 32, 3, count)).astype(np.uint8)
        labels = generator.integers(1, 11, (count, 1)).astype(np.uint8)
        savemat(tmp_path / "svhn_subset" / f"{part}_32x32.mat", {"X": images, "y": labels})
    net = fold(
        make("ste", "tiny", shape=(3, 32, 32)).net, (3, 32, 32), "symmetric", info={"dataset": "svhn", "subset": 1}
    )
    wrong = int((packed.engine(net).predict(images.transpose(3, 2, 0, 1).copy()) != labels[:, 0] % 10).sum())
    packed.save(net, tmp_path / "net.safetensors")
    assert main(["eval", str(tmp_path / "net.safetensors"), "--data-dir", str(tmp_path)]) == 0
    assert f"({wrong} of 40 images of svhn subset)" in capsys.readouterr().out


def test_eval_of_a_folders_net_asks_for_the_folder(make, tmp_path, capsys):
    net = fold(make("ste", "tiny").net, (3, 9, 8), "symmetric", info={"dataset": "folder"})
    packed.save(net, tmp_path / "net.safetensors")
    assert main(["eval", str(tmp_path / "net.safetensors")]) == 2
    assert "give the folder of its test images" in capsys.readouterr().err


def test_c_and_onnx_are_written(path, tmp_path, capsys):
    assert main(["c", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("/* A net with weights of one bit: ")
    assert "bytes of constants" in err
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    assert main(["onnx", path]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size > 1000
    assert main(["onnx", path, "--output", str(tmp_path / "net.onnx" / "net.onnx")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_bench_compares_with_the_twin(path, capsys):
    assert main(["bench", path, "--batch", "3", "--seconds", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1].strip().split(" ")[0] for line in lines[1:3]] == ["batch", "batch"]
    assert "packed (fast)" in lines[1]
    assert "torch float32" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["info", "none"], "error: cannot read none: No such file or directory"),
        (
            ["eval", "FILE", "nothing"],
            f"error: nothing is no folder and no data set (valid: {DATA})",
        ),
        (["eval", "FILE", "--threads", "0"], "error: --threads 0: at least 1"),
        (["onnx", "FILE", "--batch", "0"], "error: --batch must be larger than 0"),
        (["onnx", "FILE", "--batch", "-1"], "error: --batch must be larger than 0"),
        (["bench", "FILE", "--batch", "0"], "error: --batch and --seconds must be larger than 0"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, text, path, capsys):
    assert main([path if a == "FILE" else a for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", text + "\n")


def test_a_folder_that_does_not_fit_is_refused(make, path, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["eval", path, str(tmp_path / "empty")]) == 2
    assert "has no folders in it" in capsys.readouterr().err
    folders = {"eleven": [f"{i:02}" for i in range(11)], "nine": [f"{i}" for i in range(9)], "whole": ["test", "train"]}
    for folder, names in folders.items():
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / folder / name / "a.png")
        assert main(["eval", path, str(tmp_path / folder)]) == 2
        hint = f"; its test images are in {tmp_path / folder / 'test'}" if folder == "whole" else ""
        text = f"error: {tmp_path / folder} has {len(names)} class folders, the net 10 classes{hint}\n"
        assert capsys.readouterr().err == text
    whitened = tmp_path / "whitened.safetensors"
    packed.save(fold(make("ste", "tiny").net, (3, 9, 8), "zca"), whitened)
    assert main(["eval", str(whitened), "digits"]) == 2
    assert "whitened" in capsys.readouterr().err


def test_an_onnx_file_is_written_whole_or_not_at_all(path, tmp_path, capsys, monkeypatch):
    class Export:
        @staticmethod
        def to_onnx(*_):
            return SimpleNamespace(SerializeToString=lambda: b"new")

    def fails(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "net.onnx").write_bytes(b"old")
    monkeypatch.setattr("packed.__main__.find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "packed.qonnx_export", Export)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fails)
        assert main(["onnx", path]) == 2
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'net.onnx'}: No space left on device\n"
    assert (tmp_path / "net.onnx").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.safetensors"]
    assert main(["onnx", path]) == 0
    assert (tmp_path / "net.onnx").read_bytes() == b"new"


def test_sizes_are_told_in_three_digits():
    assert [human(n) for n in (1_023_400, 1_023_700, 2**20, 1.5 * 2**30)] == [
        "999 KiB",
        "0.976 MiB",
        "1 MiB",
        "1.5 GiB",
    ]
    assert [human(n) for n in (1000, 42_000, 1_300_000, 56_000_000)] == ["0.977 KiB", "41 KiB", "1.24 MiB", "53.4 MiB"]
    assert compared(42_000, 1_150_000) == "41 KiB (fp32 1.1 MiB, 27.4× smaller)"
