"""How a setting is declared (default, help, range, choices), checked, and refused in one line naming what is valid."""

import math
from collections.abc import Iterable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any

REQUIRED = "???"  # OmegaConf's mark of a value that configs/run.yaml gives


class UserError(Exception):
    """Something the user can put right. Its text is one line; run.py prints it without a traceback and exits with 2."""


def setting(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] | None = None,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    identity: bool = True,
) -> Any:
    """A dataclass field with its help text and valid values: `low ≤ value ≤ high`, `above < value < below`, of a list
    each of its values.

    identity: whether the setting can change the outcome of a run, and so is part of what names it."""
    rules = {"choices": choices, "low": low, "above": above, "high": high, "below": below}
    metadata = {"help": help, "identity": identity} | {k: v for k, v in rules.items() if v is not None}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(setting: Field) -> Any:
    """The default of a dataclass field, MISSING where it has none."""
    return setting.default if setting.default_factory is MISSING else setting.default_factory()


def valid_values(setting: Field) -> str:
    """What a setting accepts, for messages and help: `one of a, b`, `≥ 0, < 1`, or an empty text."""
    rules = setting.metadata
    if "choices" in rules:
        return "one of " + ", ".join(rules["choices"])
    signs = {"low": "≥", "above": ">", "high": "≤", "below": "<"}
    return ", ".join(f"{sign} {rules[name]:g}" for name, sign in signs.items() if name in rules)


def _accepts(setting: Field, value: Any) -> bool:
    rules = setting.metadata
    if value is None:
        return True
    if isinstance(value, list):
        return all(_accepts(setting, item) for item in value)
    if "choices" in rules:
        return value in rules["choices"]
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return (
        not ("low" in rules and value < rules["low"])
        and not ("high" in rules and value > rules["high"])
        and not ("above" in rules and value <= rules["above"])
        and not ("below" in rules and value >= rules["below"])
    )


def check(config: Any, prefix: str = "") -> None:
    """Raises UserError for the first value of a (nested) Config dataclass that lies outside its declared range."""
    names = [item.name for item in fields(config)]
    for name in vars(config).keys() - set(names):  # Hydra's + and ++ put in what is not there
        raise unknown("setting", prefix + name, [prefix + valid for valid in names if valid != "name"])
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        if is_dataclass(value):
            check(value, name + ".")
        elif not _accepts(item, value):
            raise UserError(f"{name}={value} is not valid: {item.metadata['help']}; {valid_values(item)}")


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that is none of `valid`, with the closest one suggested."""
    valid = sorted(valid)
    if not valid:
        return UserError(f"unknown {kind} '{name}'")
    close = get_close_matches(name, valid, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return UserError(f"unknown {kind} '{name}'{hint} (valid: {', '.join(valid)})")


def describe(config: type, prefix: str, values: dict[str, Any], shared: type | None = None) -> list[str]:
    """One help line a setting of a Config dataclass; `values` overrides the dataclass' own defaults. Settings that
    `shared`, its base class, has with the same default are left out."""
    known = {item.name: default_of(item) for item in fields(shared)} if shared else {}
    lines = []
    for item in fields(config):
        if "help" not in item.metadata or (item.name in known and known[item.name] == default_of(item)):
            continue
        default = values.get(item.name, default_of(item))
        valid = valid_values(item)
        shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
        setting = f"{prefix}{item.name}={shown}"
        lines.append(f"  {setting:<34} {item.metadata['help']}" + (f" ({valid})" if valid else ""))
    return lines
