"""Rows as `load_runs` gives them, of runs that never were: their errors and curves are known."""


def run(method, seed, error, *, validation=2.0, setting="a", real=False, **more):
    curves = {"epoch": [1, 2, 3], "val_error": [5.0, 3.0, 2.0], "elapsed": [10.0, 20.0, 30.0]}
    return {
        "method.name": method, "label": "MNIST", "net.name": "mlp", "net.width": 64.0, "net.depth": 2.0, "epochs": 3,
        "seed": seed, "limit_train": 0, "best_epoch": 3, "failed": 0, "setting": f"{method} {setting}",
        "test.error": error, "deployed": error,
        "validation.error": validation, "test.binarization_gap": 0.0, "model.reconstruction": method == "pbop",
        "model.binary_weights": True, "model.binary_activations": not real, "model.state_bytes_each": 4.0,
        "model.weight_bytes_each": 4.0, "cost.images_per_second": 1000.0, "cost.peak_memory": 2.0**30,
        "curves": curves, **more,
    }  # fmt: skip
