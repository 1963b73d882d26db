"""What is measured once training is over. The test set is read here first, and after it by the packed net."""

import torch

from .trainer import Training


def measure(training: Training) -> None:
    """Fills the record's `validation` and `test`: with the weights of the last epoch, then with the chosen ones, which
    the net has at the end, in each way that the method evaluates them."""
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
            torch.manual_seed(
                training.run.config.seed
            )  # what a variant draws does not depend on where training was resumed
            with context:
                result[f"{name}_error"] = _evaluate(training, split)["error"]
        result["binarization_gap"] = result["binarized_error"] - result["error"]


def _evaluate(training: Training, split: str) -> dict[str, float]:
    """Loss and error in % of the method's present weights on a split, as it evaluates them."""
    evaluate = {"validation": training.trainer.validate, "test": training.trainer.test}[split]
    evaluate(training.method, datamodule=training.data, verbose=False)
    measured = training.method.tally[split].take()
    return {"error": measured["error"], "loss": measured["loss"]}
