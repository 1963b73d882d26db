"""The record of a run: what is known before its first step, what came of it, and how it is written."""

import shlex
import statistics
import sys
from datetime import UTC, datetime
from typing import Any

from hydra.core.hydra_config import HydraConfig

from configs.schema import RunConfig, identity
from datamodules.base import DataModule
from methods.base import Method
from methods.binary.layers import binary_layers
from methods.optim.composite import state_bytes_of
from results.files import write_whole
from results.record import Record, save

from .callbacks.checkpoint import save_whole
from .environment import environment, load_average, peak_memory
from .run import Run
from .trainer import Training


def new_record(run: Run, data: DataModule, method: Method, command: str | None = None) -> Record:
    """A record of what is decided before the first step. `command` makes this run; null: the one that was typed."""
    weights = [layer.weight for layer in binary_layers(method.net).values()]
    return Record(
        run_id=run.id,
        status="running",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command or _command(),
        config=identity(run.config),
        environment=environment(data.device) | {"deterministic": run.config.deterministic} | _devices(run.config),
        data={
            "label": data.label,
            "fingerprint": data.fingerprint,
            "sizes": data.sizes,
            "input_shape": data.input_shape,
        },
        model={
            "parameters": sum(p.numel() for p in method.net.parameters()),
            "binary_parameters": sum(w.numel() for w in weights),
            "binary_weights": method.binary_weights,
            "binary_activations": method.binary_activations,
            "reconstruction": method.reconstruction,
        },
    )


def _devices(config: RunConfig) -> dict[str, int]:
    """How many devices and machines trained, and how many examples of a batch each device had."""
    count = config.devices * config.num_nodes
    return {"devices": count, "nodes": config.num_nodes, "batch_per_device": config.batch_size // count}


def add_outcome(training: Training) -> None:
    """Fills in the chosen epoch, curves, diagnostics, cost and bytes of a run that was trained."""
    record, method, data, history = training.record, training.method, training.data, training.history
    record.environment["compiled"] = method.compiled
    if len(history.commits) > 1:
        record.environment["commits"] = history.commits
    record.model |= _bytes(method, training.optimizer)
    record.data["sizes"] = data.sizes
    record.best_epoch = history.best_epoch
    record.curves = history.curves()
    record.diagnostics = training.diagnostics.layers if training.diagnostics else {}
    # the first epoch compiles and allocates: the median forgets it
    record.cost = {
        "train_seconds": sum(record.curves["seconds"]),
        "elapsed_seconds": record.curves["elapsed"][-1],
        "images_per_second": data.sizes["train"] / statistics.median(record.curves["seconds"]),
        "peak_memory": peak_memory(data.device),
        "load": load_average(),
    }


def save_finished(training: Training, packed: bytes | None = None) -> None:
    """Writes the record, and the chosen weights and the packed net beside the checkpoint, which is no longer needed
    then. Where they are not kept, or there is no packed net, those that an earlier run left there go: they are not of
    this record."""
    record, run = training.record, training.run
    record.status = "done"
    if run.config.save_weights:
        save_whole(training.history.best_weights, run.weights)
    else:
        run.weights.unlink(missing_ok=True)
    if not (run.config.save_weights and packed):
        run.packed_beside.unlink(missing_ok=True)
    if packed:
        for path in run.packed_paths:
            write_whole(path, packed)
    save(record, run.record_path)
    run.failed_path.unlink(missing_ok=True)
    run.checkpoint.unlink(missing_ok=True)


def save_failed(record: Record, run: Run, error: Exception) -> None:
    """Writes what is known of a run that broke off, beside where its record would be."""
    record.status, record.error = "failed", f"{type(error).__name__}: {error}"
    save(record, run.failed_path)


def _bytes(method: Method, optimizer: Any) -> dict[str, float]:
    """Bytes of a binary weight in training, of its optimizer state (Adam 8, Bop 4), and of the whole net."""
    state, count = state_bytes_of(optimizer), 0
    weights = state_total = 0
    for layer in binary_layers(method.net).values():
        count += layer.weight.numel()
        weights += layer.weight.numel() * layer.weight.element_size()
        state_total += state.get(layer.weight, 0)
    return {
        "weight_bytes_each": weights / count,
        "state_bytes_each": state_total / count,
        "training_bytes": sum(p.numel() * p.element_size() for p in method.net.parameters()) + sum(state.values()),
    }


def _command() -> str:
    """The command that makes this very run, also where it was one job of a grid."""
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else sys.argv[1:]
    return shlex.join(["python", "run.py", *overrides])
