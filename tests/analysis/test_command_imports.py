"""What the commands import before they do their work: `--help` answers at once."""

import subprocess
import sys

import pytest

from analysis.__main__ import HERE

RUN = """
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print("loaded:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
TRAINING = {"torch", "pytorch_lightning", "training", "methods", "datamodules"}
PLOTTING = {"pandas", "scipy", "matplotlib", "seaborn"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["analysis", "--help"], TRAINING | PLOTTING | {"hydra"}),
        (["analysis", "--results", "nowhere"], TRAINING),
        (["analysis", "method=bop"], TRAINING),
        (["analysis", "method=bopp"], TRAINING | PLOTTING),
        (["analysis.dashboard", "--help"], TRAINING | PLOTTING | {"wandb", "wandb_workspaces"}),
        (["analysis.dashboard", "workspace", "--dry-run"], TRAINING | PLOTTING),
        (["analysis.dashboard", "upload", "--dry-run", "--method", "none"], TRAINING | PLOTTING),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_only_what_it_needs(command, absent):
    done = subprocess.run([sys.executable, "-c", RUN, *command], cwd=HERE.parent, capture_output=True, text=True)
    loaded = set(done.stderr.rpartition("loaded:")[2].split())
    assert "analysis" in loaded
    assert loaded & absent == set()
