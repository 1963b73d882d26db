"""The command line: refusals in one line that says what is valid, help, and grids."""

import json
import re
import resource
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import run
from configs.schema import RunConfig
from datamodules import DATASETS
from methods import METHODS
from methods.nets import NETS
from results.record import load


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def listing(folder: Path) -> dict[str, bytes]:
    """All files in a folder with their content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refusal(command, tmp_path, *arguments: str) -> str:
    """The one line that a command ends with, without a traceback, with exit status 2 and nothing written."""
    before = listing(tmp_path)
    outcome = command(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", outcome.err), outcome.err
    assert listing(tmp_path) == before
    return outcome.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("epoch=3", ["'epoch'", "did you mean epochs?", "batch_size", "seed"]),
        ("method.treshold=0", ["'method.treshold'", "method.lr", "method.clip"]),
        ("method.cilp=1", ["'method.cilp'", "did you mean method.clip?"]),
        ("net.widht=8", ["'net.widht'", "did you mean net.width?"]),
        ("dataset.scalling=zca", ["'dataset.scalling'", "did you mean dataset.scaling?"]),
        ("+epoch=3", ["'epoch'", "did you mean epochs?"]),
        ("++method.cilp=1", ["'method.cilp'", "did you mean method.clip?"]),
        ("method=st", ["'st'", "did you mean ste?", *METHODS]),
        ("dataset=minst", ["'minst'", "did you mean mnist?", *DATASETS]),
        ("net=resnet", ["'resnet'", *NETS]),
        ("logger=wand", ["'wand'", "did you mean wandb?", "none", "csv", "tensorboard"]),
        ("+experiment=mnist", ["'mnist'", "mnist_mlp"]),
        ("+experiment=3", ["'3'", "mnist_mlp"]),
        ("logger=3", ["'3'", "csv"]),
        ("=3", ["'=3' has no name"]),
        ("~method", ["~method", *METHODS]),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_valid_ones(command, tmp_path, argument, named):
    line = refusal(command, tmp_path, argument)
    for text in named:
        assert text in line


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("epochs=0", ["epochs=0", "≥ 1"]),
        ("batch_size=1", ["batch_size=1", "≥ 2"]),
        ("seed=-1", ["seed=-1", "≥ 0"]),
        ("method.lr=0", ["method.lr=0", "> 0"]),
        ("method.lr=nan", ["method.lr=nan", "> 0"]),
        ("method.lr=inf", ["method.lr=inf"]),
        ("net.width=0", ["net.width=0", "≥ 1"]),
        ("loss=hinge", ["loss=hinge", "cross_entropy", "squared_hinge"]),
        ("precision=16", ["precision=16", "32, tf32, bf16"]),
        ("method.activation=random", ["method.activation=random", "deterministic, stochastic"]),
        ("method.lr_schedule=linaer", ["method.lr_schedule=linaer", "constant, linear"]),
        ("dataset.scaling=none", ["dataset.scaling=none", "symmetric"]),
        ("device=tpu", ["device=tpu", "auto, cpu, cuda, mps"]),
        ("epochs=ten", ["epochs", "ten"]),
        ("seed=1.5", ["seed", "1.5"]),
        ("diagnostics=maybe", ["diagnostics", "maybe"]),
        ("method.lr=fast", ["method.lr", "fast"]),
        ("method.lr=null", ["method.lr"]),
        ("epochs=null", ["epochs"]),
        ("epochs=[1,2", ["[1,2"]),
        ("epochs", ["'epochs' is not understood", "name=value"]),
        ("dataset.mean=3", ["dataset.mean=[a,b]"]),
        ("seed=1,2", ["seed=1,2", "-m"]),
        ("dataset.augment=crop_flip", ["dataset.augment=crop_flip"]),  # a mirrored digit is no digit
    ],
)
def test_a_value_that_is_not_valid_is_refused_with_what_is(command, tmp_path, argument, named):
    line = refusal(command, tmp_path, argument)
    for text in named:
        assert text in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_device_that_is_not_there(command, tmp_path):
    assert refusal(command, tmp_path, "device=cuda").startswith("device=cuda is not available here (available: cpu")


def test_images_too_small_for_the_net(command, tmp_path):
    line = refusal(command, tmp_path, "net=vgg", "net.first_padding=0")
    assert line == "net=vgg needs images of at least 8×8 pixels (10×10 with first_padding=0), not 8×8"


def test_a_schedule_that_cannot_be(command, tmp_path):
    line = refusal(command, tmp_path, "method.lr_schedule=exponential")  # its end is 0 by default
    assert line.startswith("method.lr_schedule=exponential: ")


def test_missing_and_damaged_data(command, tmp_path):
    assert str(tmp_path / "images/train") in refusal(command, tmp_path, "dataset=folder", f"data_dir={tmp_path}/images")
    raw = tmp_path / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for name in ("train-images", "t10k-images"):
        (raw / f"{name}-idx3-ubyte").write_bytes(b"not images")
    for name in ("train-labels", "t10k-labels"):
        (raw / f"{name}-idx1-ubyte").write_bytes(b"not labels")
    line = refusal(command, tmp_path, "dataset=mnist", "net=tiny")
    assert str(raw / "train-images-idx3-ubyte") in line


def test_an_unreadable_record(command, tmp_path):
    assert command("epochs=1").status == 0
    (path,) = (tmp_path / "runs/ste").iterdir()
    path.write_text(path.read_text()[:300])
    assert refusal(command, tmp_path, "epochs=1").startswith(f"{path} is not a readable record: ")


def test_a_folder_for_records_that_cannot_be_made(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refusal(command, tmp_path, f"results_dir={tmp_path}/file/runs")
    assert line.startswith(f"cannot write {tmp_path}/file/runs/ste/")
    assert line.endswith(": Not a directory")


@contextmanager
def largest_file(size: int):
    """Writing beyond `size` bytes fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_space_is_found_out_before_training(command, tmp_path):
    (tmp_path / "runs/ste").mkdir(parents=True)
    with largest_file(20_000):
        line = refusal(command, tmp_path)
    assert re.fullmatch(rf"cannot write {tmp_path}/(outputs|runs)/.*: File too large", line)


def test_no_space_for_the_checkpoint(command, tmp_path):
    with largest_file(70_000):  # enough for records, not for a checkpoint of this net
        outcome = command("epochs=1", "net=mlp", "net.width=128")
    assert outcome.status == 2
    *_, line = outcome.err.splitlines()
    assert re.fullmatch(rf"error: cannot write {tmp_path}/outputs/.*/last\.ckpt: File too large", line)
    assert "Traceback" not in outcome.err
    assert [p.name for p in (tmp_path / "outputs").rglob("*") if p.is_file()] == []
    (failed,) = (tmp_path / "runs/ste").iterdir()
    assert json.loads(failed.read_text())["error"].startswith("UserError: cannot write ")


def test_flags_with_a_value_of_their_own(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/short.yaml").write_text("# @package _global_\nepochs: 7\n")
    words = ["--config-dir", str(tmp_path / "mine"), "-cn", "run", "--cfg", "job", "+experiment=short"]
    monkeypatch.setattr("sys.argv", ["run.py", *words])
    GlobalHydra.instance().clear()
    try:
        assert run.main() == 0
    finally:
        GlobalHydra.instance().clear()
    assert "\nepochs: 7\n" in capfd.readouterr().out


def test_help_names_everything(command):
    outcome = command("--help")
    assert outcome.status == 0
    assert outcome.err == ""
    for group, members in {"method": METHODS, "dataset": DATASETS, "net": NETS}.items():
        for name, member in members.items():
            assert re.search(rf"^  {name} +\S.{{10,}}$", outcome.out, re.M), name
            for field in fields(member.Config):
                if field.name != "name":
                    assert re.search(rf"^  {group}\.{field.name}=", outcome.out, re.M), f"{group}.{field.name}"
    for field in fields(RunConfig):
        if field.name not in ("method", "dataset", "net", "logger"):
            assert re.search(rf"^  {field.name}=\S+ +\S.{{10,}}$", outcome.out, re.M), field.name
    for name in ("none", "csv", "tensorboard", "wandb"):
        assert name in outcome.out
    assert re.search(r"^  epochs=20 ", outcome.out, re.M)
    assert "???" not in outcome.out


def test_one_run_leaves_its_record_and_its_net_alone(command, tmp_path):
    outcome = command()
    assert outcome.status == 0
    (record,) = (tmp_path / "runs/ste").iterdir()
    nets = {f"outputs/{record.stem}/{name}" for name in ("weights.pt", "packed.safetensors")}
    assert set(listing(tmp_path)) == {f"runs/ste/{record.name}"} | nets
    content = load(record)
    assert content.command.startswith("python run.py dataset=digits net=tiny epochs=2 ")
    for text in (
        f"validation error   {content.validation['error']:.2f} %",
        f"test error         {content.test['error']:.2f} %",
        "binarization gap   +0.00 points (binary weights, binary activations)",
        f"test error {content.test['error']:.2f} %, 0 of 359 predictions differ",
        str(record),
    ):
        assert text in outcome.out
    assert len(re.findall(r"^epoch \d/2 .*val error", outcome.err, re.M)) == 2  # no terminal: a line an epoch


def test_a_grid_skips_what_is_there_and_says_so(command, tmp_path):
    assert command("epochs=1", "seed=1").status == 0
    (first,) = (tmp_path / "runs/ste").iterdir()
    before = first.read_bytes()
    outcome = command("-m", "epochs=1", "method=ste,real", "seed=0,1")
    assert outcome.status == 0
    assert re.findall(r"^skipped, the record exists .*$", outcome.out, re.M) == [
        f"skipped, the record exists (rerun=true trains again): {first}"
    ]
    assert first.read_bytes() == before
    records = [load(path) for path in sorted((tmp_path / "runs").glob("*/*.json"))]
    assert [(r.config["method"]["name"], r.config["seed"]) for r in records] == [
        ("real", 0), ("real", 1), ("ste", 0), ("ste", 1)
    ]  # fmt: skip
    assert {r.command.split()[-1] for r in records} == {"seed=0", "seed=1"}  # of the job, not of the grid
    weights = {f"outputs/{record.run_id}/weights.pt" for record in records}
    weights |= {f"outputs/{r.run_id}/packed.safetensors" for r in records if "refused" not in r.packed}
    assert len(weights) == 6  # the real nets cannot be packed
    others = {name for name in listing(tmp_path) if not name.startswith("runs/")}
    assert others == weights | {"outputs/multirun.yaml"}  # that one is Hydra's


def test_one_bad_run_does_not_stop_a_grid(command, tmp_path):
    outcome = command("-m", "epochs=1", "method.lr=-1,0.01", "method.clip=0.5,1.0")
    assert outcome.status == 2
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert all(line.startswith("error: method.lr=-1") for line in errors)
    assert "Traceback" not in outcome.err
    records = [load(path) for path in (tmp_path / "runs/ste").iterdir()]
    assert sorted(r.config["method"]["clip"] for r in records) == [0.5, 1.0]


def test_a_run_that_diverges_is_told_and_the_grid_goes_on(command, tmp_path):
    outcome = command("-m", "epochs=1", "method=real", "loss=squared_hinge", "method.lr=1e30,0.01")
    assert outcome.status == 2
    assert re.search(r"^error: the training loss became (inf|nan) in epoch 1$", outcome.err, re.M)
    done, failed = sorted((tmp_path / "runs/real").iterdir(), key=lambda path: path.name.endswith(".failed.json"))
    assert load(done).status == "done"
    assert load(failed).status == "failed"


def test_an_unknown_choice_in_a_grid_is_refused_before_anything_runs(command, tmp_path):
    outcome = command("-m", "epochs=1", "method=ste,nonsense")
    assert outcome.status == 2
    assert [line for line in outcome.err.splitlines() if "nonsense" in line] == outcome.err.splitlines()
    assert "Traceback" not in outcome.err
