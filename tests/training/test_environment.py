"""What a record says of its code: a checkout with changes beside what runs write is `dirty`."""

import subprocess
from pathlib import Path

import pytest
import torch

from training import environment


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with one commit, which `commit` looks at."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "run.py").write_text("code")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "code"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    environment.commit.cache_clear()
    yield tmp_path
    environment.commit.cache_clear()


@pytest.mark.parametrize(
    "made",
    [
        "results/runs/ste/a.json",
        "results/trials/digits/ste/r1.csv",
        "results/packed/ste/a.safetensors",
        "results/perturbed/digits/ste/r1.csv",
        "configs/tuned/digits/ste/r1.yaml",
    ],
)
def test_what_runs_write_is_no_change_of_the_code(checkout, made):
    (checkout / made).parent.mkdir(parents=True)
    (checkout / made).touch()
    name, dirty = environment.commit()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert (name, dirty) == (head.stdout.strip(), False)


def test_where_git_does_not_tell_the_changes_they_are_unknown(checkout, monkeypatch):
    ask = environment._git
    monkeypatch.setattr(environment, "_git", lambda *words: None if words[0] == "status" else ask(*words))
    name, dirty = environment.commit()
    assert (len(name), dirty) == (40, None)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets the peak")
def test_the_peak_memory_of_an_earlier_run_is_forgotten():
    cpu, size = torch.device("cpu"), 300 * 2**20
    environment.forget_peak_memory(cpu)
    before = environment.peak_memory(cpu)
    held = torch.ones(size, dtype=torch.uint8)
    assert held.sum() == size
    assert environment.peak_memory(cpu) > before + 0.8 * size
    del held
    environment.forget_peak_memory(cpu)
    assert environment.peak_memory(cpu) < before + 0.5 * size


@pytest.mark.parametrize("changed", ["run.py", "results/record.py", "new.py"])
def test_changed_and_new_code_is(checkout, changed):
    (checkout / changed).parent.mkdir(exist_ok=True)
    (checkout / changed).write_text("other code")
    assert environment.commit()[1] is True


def test_outside_of_git_neither_is_known(checkout, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(environment, "ROOT", tmp_path_factory.mktemp("elsewhere"))
    assert environment.commit() == (None, None)
