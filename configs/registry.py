"""The names of methods, data sets and nets: those of the files that define them, known without importing any."""

import ast
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from .settings import UserError

ROOT = Path(__file__).resolve().parent.parent


class Registry(Mapping[str, Any]):
    """Name → class. A file of `package` is an entry if it has a dataclass `Config` whose `name` is the file's own name;
    the entry's value is the class in it that has this `Config`. A file is imported when its class is asked for.
    UserError where it cannot be imported, or has no such class.

    order: the names that lists begin with; others follow by the alphabet."""

    def __init__(self, package: str, order: tuple[str, ...] = ()) -> None:
        self.package, self.order = package, order

    @cached_property
    def names(self) -> tuple[str, ...]:
        files = sorted((ROOT / self.package.replace(".", "/")).glob("*.py"))
        found = [path.stem for path in files if _defines(path)]
        return (*(name for name in self.order if name in found), *(name for name in found if name not in self.order))

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        try:
            module = importlib.import_module(f"{self.package}.{name}")
        except (ImportError, SyntaxError) as error:
            raise UserError(f"{self.package.replace('.', '/')}/{name}.py cannot be imported: {error}") from error
        for value in vars(module).values():
            is_own = isinstance(value, type) and value.__module__ == module.__name__
            if is_own and getattr(vars(value).get("Config"), "name", None) == name:
                return value
        raise UserError(f"{module.__file__} has a Config named {name}, and no class whose `Config` it is")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _defines(path: Path) -> bool:
    """Whether the file has a `class Config` with `name: str = "<the file's name>"`. One that is no Python counts as an
    entry: whoever asks for it is told what is wrong, and the other entries can be used."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError):
        return True
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return any(
        isinstance(line, ast.AnnAssign)
        and ast.unparse(line.target) == "name"
        and isinstance(line.value, ast.Constant)
        and line.value.value == path.stem
        for node in classes
        if node.name == "Config"
        for line in node.body
    )


METHODS = Registry(
    "methods",
    order=(
        "real",
        "binaryconnect",
        "ste",
        "ste_shift",
        "bnnplus",
        "irnet",
        "recu",
        "reste",
        "bop",
        "bop2nd",
        "pbop",
        "pbnet",
        "bayesbinn",
        "bernoulli",
    ),
)
DATASETS = Registry("datamodules", order=("digits", "mnist", "cifar10", "cifar100", "svhn", "imagenet", "folder"))
NETS = Registry("methods.nets", order=("mlp", "vgg", "tiny", "bernoulli_cnn"))

GROUPS: dict[str, Registry] = {"method": METHODS, "dataset": DATASETS, "net": NETS}
# the other data sets: mlp
DEFAULT_NET = {"cifar10": "vgg", "cifar100": "vgg", "svhn": "vgg", "imagenet": "birealnet18", "folder": "vgg"}
