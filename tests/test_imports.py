"""Imports run one way, and what needs no torch does not load it."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Room → the other rooms that its files import. A room within methods/ is named with its parent.
ALLOWED = {
    "configs": set(),
    "results": {"configs"},
    "datamodules": {"configs"},
    "methods.binary": set(),
    "methods.optim": {"methods.binary"},
    "methods.nets": {"configs", "methods.binary"},
    "methods": {"configs", "methods.binary", "methods.optim", "methods.nets"},
    "packed": {"configs", "datamodules"},  # for the images of `python -m packed eval` only
    "training": {"configs", "results", "datamodules", "methods", "methods.binary", "methods.optim", "packed"},
    "run": {"configs", "training"},
    "sweeps": {"configs", "results", "training"},
    "analysis": {"configs", "results", "analysis.page"},
    "analysis.page": {"configs", "results", "analysis"},
    "analysis.dashboard": {"configs", "results", "analysis", "training"},  # whose loggers it uploads by
}
ROOMS = sorted(ALLOWED, key=len, reverse=True)


def room_of(module: str) -> str | None:
    """The room of a module by its full name; None of what is not the project's."""
    return next((room for room in ROOMS if module == room or module.startswith(f"{room}.")), None)


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    package = [*path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_one_way():
    graph = defaultdict(set)
    files = [ROOT / "run.py", *(path for room in ALLOWED for path in (ROOT / room.replace(".", "/")).glob("*.py"))]
    files += (ROOT / "training/callbacks").glob("*.py")
    for path in files:
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        graph[room] |= {target for name in imported(path) if (target := room_of(name)) not in (None, room)}
    assert graph.keys() == ALLOWED.keys()
    assert {room: targets - ALLOWED[room] for room, targets in graph.items() if targets - ALLOWED[room]} == {}


def loaded_by(code: str) -> set[str]:
    """The top-level packages that Python has loaded after `code`."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(done.stdout.splitlines()[-1].split())


LIGHT = [
    "configs.schema",
    "results.record",
    "datamodules.split",
    "training.run",
    "sweeps.settings",
    "analysis.__main__",
]


def test_what_needs_no_torch_does_not_load_it():
    assert not {"torch", "pytorch_lightning"} & loaded_by(f"import {', '.join(LIGHT)}")


@pytest.mark.parametrize(
    "command",
    ["run method=st", "run dataset=minst", "run net=null", "sweeps.__main__ method=st", "sweeps.suite suite=no"],
)
def test_a_mistyped_word_is_refused_before_torch_is_loaded(command):
    module, word = command.split()
    code = f"import sys, {module}; sys.argv = ['command', '{word}']; assert {module}.main() == 2"
    assert not {"torch", "pytorch_lightning"} & loaded_by(code)
