"""A run's names, and that one process at a time trains it."""

import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from configs.settings import UserError
from training.run import BusyError


def test_names_follow_from_the_configuration(configure, tmp_path):
    run = configure("method=real", f"results_dir={tmp_path}/r", f"output_dir={tmp_path}/o")
    assert run.record_path == tmp_path / "r/real" / f"{run.id}.json"
    assert run.failed_path == tmp_path / "r/real" / f"{run.id}.failed.json"
    assert run.checkpoint == tmp_path / "o" / run.id / "last.ckpt"
    assert run.weights == tmp_path / "o" / run.id / "weights.pt"
    assert run.packed_paths == [tmp_path / "o" / run.id / "packed.safetensors"]
    kept = configure("method=real", f"packed_dir={tmp_path}/p", "save_weights=false")
    assert kept.packed_paths == [tmp_path / "p/real" / f"{run.id}.safetensors"]


def test_a_held_run_is_refused_and_free_again_afterwards(configure):
    run = configure()
    with run.held():
        (run.folder / ".cut.tmp").write_text("left by a killed process")
        with pytest.raises(BusyError, match=f"^another process is training this run: {run.folder}$"), run.held():
            pass
    assert (run.folder / ".cut.tmp").exists()
    with run.held():
        assert not (run.folder / ".cut.tmp").exists()
    assert not run.folder.exists()


def test_a_process_that_is_refused_touches_nothing_of_the_one_at_work(configure, monkeypatch):
    run = configure()
    with run.held():
        before = sorted(run.folder.iterdir())
        monkeypatch.setattr("training.run.check_writable", lambda path: pytest.fail("it wrote into the folder"))
        with pytest.raises(BusyError), run.held():
            pass
        assert sorted(run.folder.iterdir()) == before


def test_nobody_can_lock_the_file_that_is_about_to_go(configure, monkeypatch):
    """The lock's file is unlinked while it is held, so that no third process finds another file to lock."""
    run = configure()
    unlinked_while_held = []

    def unlink(path, *args, **kwargs):
        other = FileLock(path)
        try:
            other.acquire(timeout=0)
            other.release()
        except Timeout:
            unlinked_while_held.append(path)
        remove(path)

    remove = os.unlink
    with run.held():
        monkeypatch.setattr(Path, "unlink", unlink)
    assert unlinked_while_held == [run.folder / ".lock"]


def test_a_folder_that_cannot_be_made_is_told(configure, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write .*file/o/"), configure(f"output_dir={tmp_path}/file/o").held():
        pass
