"""What a record says of its code: a checkout with changes beside what runs write is `dirty`."""

import subprocess

import pytest

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


@pytest.mark.parametrize("changed", ["run.py", "results/record.py", "new.py"])
def test_changed_and_new_code_is(checkout, changed):
    (checkout / changed).parent.mkdir(exist_ok=True)
    (checkout / changed).write_text("other code")
    assert environment.commit()[1] is True


def test_outside_of_git_neither_is_known(checkout, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(environment, "ROOT", tmp_path_factory.mktemp("elsewhere"))
    assert environment.commit() == (None, None)
