"""The registry: the methods that the benchmark compares. A file of this folder that defines one puts it there."""

import importlib
import pkgutil

from .base import Method

# of lists and suites; a method that is not named here comes after these
ORDER = (
    "real",
    "binaryconnect",
    "ste",
    "ste_shift",
    "bnnplus",
    "bop",
    "bop2nd",
    "pbop",
    "pbnet",
    "bayesbinn",
    "bernoulli",
)


def _methods() -> dict[str, type[Method]]:
    """Key → class: of every module here the `Method` defined in it whose Config's `name` is the module's own."""
    found: dict[str, type[Method]] = {}
    for _, key, is_package in pkgutil.iter_modules(__path__):
        if is_package:
            continue
        module = importlib.import_module(f"{__name__}.{key}")
        classes = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
        for value in classes:
            if issubclass(value, Method) and getattr(vars(value).get("Config"), "name", None) == key:
                found[key] = value
    return {key: found[key] for key in (*ORDER, *sorted(found.keys() - set(ORDER)))}


METHODS = _methods()
