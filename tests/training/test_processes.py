"""Commands whose runs have several processes: how these start, by whomever, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import run as spine
from configs.settings import UserError
from results.record import load
from training.place import Place, place_of
from training.train import build
from training.trainer import pick_device

ROOT = Path(spine.__file__).parent
SMALL = ["method=bop", "devices=2", "limit_train=400", "compile=false"]
HANGS = 600  # seconds; a command that takes longer hangs, also on a busy machine


def hear_ctrl_c() -> None:
    """A shell starts background jobs with the signal ignored, and so would be what these start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(command):
    """start("epochs=3") → `python run.py` with these arguments, in a process of its own and a group of its own."""
    started = []

    def start(*arguments, launcher=(), environment=None, script=spine.__file__):
        process = subprocess.Popen(
            [sys.executable, *launcher, script, *command.arguments(*SMALL, *arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
            env=os.environ | (environment or {}),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def family(process) -> list[int]:
    """The processes of its group that are alive, but for itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != process.pid:
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[2] == str(process.pid) and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def helpers(process) -> list[int]:
    """Those of them that train."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(process)}
    return [pid for pid, line in lines.items() if b"multiprocessing.spawn" in line and b"spawn_main" in line]


def until(condition, process=None):
    """Waits for a condition; fails where the process ends before."""
    end = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < end, "it did not come"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def told(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


def weights(run) -> dict[str, torch.Tensor]:
    return torch.load(run.weights, weights_only=True)


@pytest.mark.slow
def test_one_command_starts_all_and_the_first_one_writes(start, configure, tmp_path):
    process = start("epochs=3", "logger=csv")
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert out.count("chosen at epoch") == 1
    assert err.count("epoch 2/3") == 1
    assert "Traceback" not in err
    assert "Warning" not in err
    run = configure(*SMALL, "epochs=3")
    record = load(run.record_path)
    assert (record.config["devices"], record.config["num_nodes"]) == (2, 1)
    assert {k: record.environment[k] for k in ("devices", "nodes", "batch_per_device")} == {
        "devices": 2,
        "nodes": 1,
        "batch_per_device": 50,
    }
    assert record.data["sizes"] == {"train": 400, "validation": 287, "test": 359}
    assert record.packed["test"]["differ"] == 0
    assert sorted(path.name for path in run.folder.iterdir()) == ["packed.safetensors", "weights.pt"]
    assert len(list((tmp_path / "outputs/csv").rglob("metrics.csv"))) == 1


@pytest.mark.slow
def test_ctrl_c_ends_all_and_the_same_command_goes_on(start, configure):
    whole = configure(*SMALL, "epochs=200", "checkpoint_seconds=0")
    process = start("epochs=200", "checkpoint_seconds=0")
    until(whole.checkpoint.exists, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert "interrupted; the same command goes on" in err
    assert "Traceback" not in err
    until(lambda: family(process) == [])
    process = start("epochs=200", "checkpoint_seconds=0")
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert out.count("resuming after epoch") == 1
    assert len(load(whole.record_path).curves["epoch"]) == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_where_one_is_killed_none_is_left(number, start, configure):
    run = configure(*SMALL, "epochs=4000", "checkpoint_seconds=0")
    process = start("epochs=4000", "checkpoint_seconds=0")
    until(run.checkpoint.exists, process)
    (helper,) = helpers(process)
    os.kill([process.pid, helper][number], signal.SIGKILL)
    _, err = process.communicate(timeout=HANGS)
    until(lambda: family(process) == [])
    if number == 1:
        assert process.returncode == 2
        assert told(err) == ["error: process 1 ended with exit status -9"]
        assert load(run.failed_path).error == "TrainingError: process 1 ended with exit status -9"
        assert "Traceback" not in err


@pytest.mark.slow
def test_what_one_process_alone_finds_is_told_in_one_line(start, configure, tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 2)):
        for name in ("a", "b"):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{k}.JPEG")
    settings = [
        "dataset=imagenet",
        f"data_dir={tmp_path}/images",
        "dataset.classes=2",
        "dataset.size=32",
        "dataset.workers=1",
        "net=tiny",
        "limit_train=0",
        "batch_size=4",
        "epochs=1",
    ]
    run = configure(*SMALL, *settings)
    data, _ = build(run)
    loader = data.train_dataloader()
    broken = loader.files.path(int(loader.index[loader._draws()[0][6]]))  # of the second process, in its second batch
    broken.write_bytes(broken.read_bytes()[:200])
    process = start(*settings)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 2
    (line,) = told(err)
    assert line.startswith(f"error: {broken} cannot be read as an image")
    assert "Traceback" not in err
    until(lambda: family(process) == [])
    assert load(run.failed_path).error.startswith(f"UserError: {broken} cannot be read")


@pytest.mark.slow
def test_processes_that_torchrun_started(start, configure):
    process = start("epochs=2", launcher=["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"])
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert out.count("chosen at epoch") == 1
    own = weights(configure(*SMALL, "epochs=2"))
    process = start("epochs=2", "rerun=true")
    assert process.wait(timeout=HANGS) == 0
    again = weights(configure(*SMALL, "epochs=2"))
    assert all(torch.equal(own[name], again[name]) for name in own)


@pytest.mark.slow
def test_two_machines_as_slurm_starts_them(start, configure):
    """Two processes with the variables that srun sets, as if on two machines."""
    settings = ["epochs=2", "devices=1", "num_nodes=2"]
    shared = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "41234", "SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_NAME": "job"}
    shared |= {"SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "MASTER_ADDR": "127.0.0.1"}
    processes = [
        start(*settings, environment=shared | {"SLURM_PROCID": str(n), "SLURM_LOCALID": "0", "SLURM_NODEID": str(n)})
        for n in range(2)
    ]
    (out, err), (other, more) = (process.communicate(timeout=HANGS) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], err + more
    assert (out.count("chosen at epoch"), other) == (1, "")
    record = load(configure(*SMALL, *settings).record_path)
    assert (record.environment["devices"], record.environment["nodes"]) == (2, 2)


@pytest.mark.slow
def test_through_hydras_submitit_launcher(start, configure):
    process = start("-m", "epochs=2", "seed=0,1", "hydra/launcher=submitit_local")
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    for seed in (0, 1):
        assert load(configure(*SMALL, "epochs=2", f"seed={seed}").record_path).environment["devices"] == 2


@pytest.mark.slow
def test_a_compiled_run(start, configure):
    process = start("epochs=2", "compile=true", "net=mlp", "net.width=64")
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert load(configure(*SMALL, "epochs=2", "net=mlp", "net.width=64").record_path).environment["compiled"]


@pytest.mark.parametrize(
    ("variables", "settings", "line"),
    [
        ({}, ["num_nodes=2"], "num_nodes=2 needs a process for each device, started by torchrun or Slurm"),
        (
            {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "0"},
            ["devices=2"],
            "Slurm started 4 processes, and devices=2 with num_nodes=1 needs 2",
        ),
    ],
)
def test_another_number_of_processes_than_asked_for(variables, settings, line, configure, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        place_of(configure(*settings).config)
    assert str(caught.value).startswith(line)


def test_one_task_of_slurm_starts_the_others_itself(configure, monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    assert place_of(configure("devices=4").config) == Place(count=4)
    assert place_of(configure().config) == Place()


@pytest.mark.skipif(torch.cuda.device_count() > 8, reason="has more than 8 GPUs")
def test_more_devices_than_there_are(command):
    outcome = command("devices=50", "device=mps" if torch.backends.mps.is_available() else "device=cuda")
    assert outcome.status == 2
    assert "device=cuda is not available here" in outcome.err or "devices=50: there" in outcome.err
    assert pick_device("cpu", 3, 4) == torch.device("cpu")
