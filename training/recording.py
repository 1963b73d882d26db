"""The two ends of a record: what is known before training, and what is measured after it."""

import shlex
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.loggers import WandbLogger

from configs.schema import RunConfig, identity
from methods.base import Method
from methods.binary.layers import binary_layers
from methods.optim.composite import state_bytes_of
from results.record import Record, failed_path, record_path, run_id, save
from training.callbacks.checkpoint import save_whole
from training.trainer import Training

from .environment import environment, peak_memory


def begin(config: RunConfig, method: Method, data: Any, device: torch.device, command: str | None = None) -> Record:
    """A record of what is decided before the first step. `command` makes this run; null: the one that was typed."""
    weights = [layer.weight for layer in binary_layers(method.net).values()]
    return Record(
        run_id=run_id(config),
        status="running",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command or _command(),
        config=identity(config),
        environment=environment(device) | {"deterministic": config.deterministic},
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


def conclude(record: Record, config: RunConfig, training: Training, method: Method, data: Any) -> None:
    """Measures the chosen weights, fills the record and writes it; then the checkpoint is no longer needed.

    The test set is read here alone: with the weights that validation chose, and with the last epoch's beside them."""
    history, trainer = training.history, training.trainer
    optimizer = trainer.optimizers[0]
    record.environment["compiled"] = method.compiled
    record.model |= _bytes(method, optimizer)
    record.validation = {"last_error": history.rows[-1]["val_error"]}
    splits = {"validation": record.validation}
    if config.test:
        record.test = {"last_error": _error(training, method, data, "test")["error"]}
        splits["test"] = record.test
    method.net.load_state_dict(history.best_weights)
    for split, result in splits.items():
        result.update(_error(training, method, data, split))
        result["binarized_error"] = result["error"]
        for name, context in method.variants():
            torch.manual_seed(config.seed)  # what a variant draws does not depend on where training was resumed
            with context:
                result[f"{name}_error"] = _error(training, method, data, split)["error"]
        result["binarization_gap"] = result["binarized_error"] - result["error"]
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
    }
    record.status = "done"
    if config.save_weights:
        save_whole(history.best_weights, training.checkpoint.with_name("weights.pt"))
    save(record, record_path(config))
    failed_path(config).unlink(missing_ok=True)
    training.checkpoint.unlink(missing_ok=True)
    try:
        mirror(record, trainer.loggers)
    except Exception as error:  # the record is the source, and it is written
        print(f"logger: {' '.join(str(error).split())}", file=sys.stderr)


def fail(record: Record, config: RunConfig, error: Exception) -> None:
    """Writes what is known of a run that broke off, beside where its record would be."""
    record.status, record.error = "failed", f"{type(error).__name__}: {error}"
    _finish_wandb(1)
    save(record, failed_path(config))


def abandon() -> None:
    """What a run leaves that was stopped on purpose: no record, neither done nor failed."""
    _finish_wandb(0)


def summary_of(record: Record) -> dict[str, Any]:
    """What W&B keeps of a record beside configuration and curves."""
    return {k: v for k, v in asdict(record).items() if k not in ("config", "curves")}


def mirror(record: Record, loggers: list[Any]) -> None:
    """Gives the final record to the loggers, and ends their runs."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.summary.update(summary_of(record))
        logger.finalize("success")
    _finish_wandb(0)


def _finish_wandb(exit_code: int) -> None:
    """Ends this run's W&B run, where there is one: the next run of a grid would go on in it."""
    wandb = sys.modules.get("wandb")
    if wandb and wandb.run:
        wandb.finish(exit_code)


def _bytes(method: Method, optimizer: torch.optim.Optimizer) -> dict[str, float]:
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


def _error(training: Training, method: Method, data: Any, split: str) -> dict[str, float]:
    """Loss and error in % of the method's present weights on a split, as it evaluates them."""
    evaluate = {"validation": training.trainer.validate, "test": training.trainer.test}[split]
    evaluate(method, datamodule=data, verbose=False)
    measured = method.tally[split].take()
    return {"error": measured["error"], "loss": measured["loss"]}
