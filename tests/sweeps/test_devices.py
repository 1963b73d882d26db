"""A GPU for each process: chosen by a lock, given back, and left as it is where there is nothing to choose."""

import os

import pytest

from sweeps.devices import VISIBLE, own_gpu
from tests.sweeps.holder import start_holder
from tests.sweeps.tools import kill, wait_for


@pytest.fixture
def three(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)


@pytest.mark.slow
def test_each_process_has_the_first_free_gpu(three, tmp_path):
    process = start_holder(tmp_path / "0", tmp_path / "held")
    wait_for((tmp_path / "held").exists, process)
    with own_gpu("auto", tmp_path):
        assert os.environ[VISIBLE] == "1"
    assert VISIBLE not in os.environ
    kill(process)
    with own_gpu("cuda", tmp_path):
        assert os.environ[VISIBLE] == "0"


def test_of_gpus_that_were_given_one_is_taken(three, tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "GPU-5a,2, GPU-7c")
    processes = [start_holder(tmp_path / name, tmp_path / f"held{name}") for name in ("GPU-5a", "2")]
    for name, process in zip(("GPU-5a", "2"), processes, strict=True):
        wait_for((tmp_path / f"held{name}").exists, process)
    with own_gpu("auto", tmp_path):
        assert os.environ[VISIBLE] == "GPU-7c"
        processes.append(start_holder(tmp_path / "GPU-7c", tmp_path / "never"))
    assert os.environ[VISIBLE] == "GPU-5a,2, GPU-7c"
    wait_for((tmp_path / "never").exists, processes[2])  # only once it was given back
    with own_gpu("auto", tmp_path):  # all are held: shared
        assert os.environ[VISIBLE] in ("GPU-5a", "2", "GPU-7c")
    for process in processes:
        kill(process)


@pytest.mark.parametrize(("device", "count"), [("cpu", 3), ("mps", 3), ("auto", 1), ("auto", 0)])
def test_where_there_is_nothing_to_choose(device, count, tmp_path, monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    with own_gpu(device, tmp_path):
        assert VISIBLE not in os.environ
    assert not list(tmp_path.iterdir())
