"""What is measured once training is over. The test set is read here first, and after it by the packed net."""

from collections.abc import Iterable
from typing import Any

import torch

from results.wrong import encode

from .trainer import Training


def measure(training: Training) -> None:
    """Fills the record's `validation` and `test`: with the weights of the last epoch, then with the chosen ones, which
    the net has at the end, in each way that the method evaluates them; then, as the method evaluates them first, on
    corrupted test images."""
    record, method, history = training.record, training.method, training.history
    splits = {}
    if training.data.sizes["validation"]:
        record.validation = {"last_error": history.rows[-1]["val_error"]}
        splits["validation"] = record.validation
    if training.run.config.test:
        record.test = {"last_error": _evaluate(training, "test")["error"]}
        splits["test"] = record.test
    history.keep_last(method.net)
    method.net.load_state_dict(history.best_weights)
    for split, result in splits.items():
        result.update(_evaluate(training, split))
        result["binarized_error"] = result["error"]
        for name, context in method.variants():
            # what a variant draws does not depend on where training was resumed
            torch.manual_seed(training.run.config.seed)
            training.method_with_data()
            with context:
                result[f"{name}_error"] = _evaluate(training, split)["error"]
        result["binarization_gap"] = result["binarized_error"] - result["error"]
    if record.test:
        record.test["corrupted"] = {name: _test(training, test) for name, test in training.data.corrupted_tests()}


def _evaluate(training: Training, split: str) -> dict[str, Any]:
    """Loss and error in % of the method's present weights on a split, as it evaluates them; of the test set also which
    examples are wrong."""
    evaluate = {"validation": training.trainer.validate, "test": training.trainer.test}[split]
    evaluate(training.method, datamodule=training.data, verbose=False)
    tally = training.method.tally[split]
    wrong = torch.cat(tally.wrong).cpu().numpy() if tally.wrong else None
    measured = tally.take()
    result = {"error": measured["error"], "loss": measured["loss"]}
    return result if wrong is None else result | {"wrong": encode(wrong)}


def _test(training: Training, batches: Iterable[Any]) -> float:
    """Error in % on other images than those of the data set's splits."""
    training.trainer.test(training.method, batches, verbose=False)
    return training.method.tally["test"].take()["error"]
