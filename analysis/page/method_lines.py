"""What each method is, in one line: the first of its class' docstring, read without importing it."""

import ast
from pathlib import Path

from configs.registry import METHODS, ROOT


def method_lines(folder: Path = ROOT / "methods") -> dict[str, str]:
    """Method → the first line of the docstring of the class that has `Config = Config`; empty where there is none."""
    return {name: _line(folder / f"{name}.py") for name in METHODS}


def _line(path: Path) -> str:
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(line) == "Config = Config" for line in node.body):
            return (ast.get_docstring(node) or "").partition("\n")[0].strip()
    return ""
