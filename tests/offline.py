"""What the .wandb file of an offline run holds, as W&B's own reader shows it."""

import json
import subprocess
import sys
from pathlib import Path


def read_back(path: Path) -> tuple[dict, list[dict], dict, int]:
    """Config, rows of the history, summary and exit code in a .wandb file."""
    reader = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(reader, check=True, capture_output=True, text=True).stdout.splitlines()
    config, rows, summary, exit_code = {}, [], {}, None
    for entry in map(json.loads, lines):
        content = entry.get(entry["type"], {})
        match entry["type"]:
            case "run":
                config |= content.get("config", {}).get("update", {})
            case "config":
                config |= content.get("update", {})
            case "history":
                rows.append(content["item"])
            case "summary":
                summary |= content.get("update", {})
            case "exit":
                exit_code = content.get("exit_code", 0)
    return config, rows, summary, exit_code


def flatten(tree: dict, prefix: str = "") -> dict:
    """Nested names joined by dots, as W&B shows them."""
    flat = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
