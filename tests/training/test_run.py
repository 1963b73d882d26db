"""A run's names, and that one process at a time trains it."""

import pytest

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
