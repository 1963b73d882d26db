"""Published presets against their sources' numbers, stated here once more. A preset that drifts fails."""

import math
from dataclasses import replace

import hydra
import pytest
import torch

from analysis.experiments import experiment_names, flat
from configs.schema import CONFIGS, RunConfig, changed, identity, register, resolve
from methods import METHODS
from methods.binary.layers import Parts, binary_layers
from methods.binary.sign import ActivationSign, WeightSign
from methods.nets import NETS
from methods.optim.schedule import Scheduler

VGG = {"net.name": "vgg", "net.width": 128, "net.dense": None, "net.first_padding": 1, "net.output_norm": True}
SVHN = VGG | {"net.width": 64, "net.dense": 1024, "dataset.name": "svhn", "dataset.extra": True}
BOP_NET = VGG | {"net.first_padding": 0, "net.norm_eps": 1e-3, "net.norm_factor": 0.01, "net.norm_scale": False}
KERAS = BOP_NET | {
    "dataset.name": "cifar10", "dataset.augment": "crop_flip", "dataset.scaling": "symmetric", "dataset.validation": 0,
    "select": "last", "loss": "cross_entropy", "method.lr": 1e-2, "method.adam_eps": 1e-7,
}  # fmt: skip
BAYES = {
    "method.name": "bayesbinn", "method.activation": "relu", "method.alpha_schedule": "cosine",
    "method.alpha_end": 1e-16, "method.schedule_every": "epoch_end", "method.momentum": 0, "method.init": 10,
    "method.prior_weight": 1, "method.recalibrate": False, "net.norm_affine": False, "epochs": 500,
    "loss": "cross_entropy", "select": "best", "dataset.scaling": "constants", "dataset.validation_from": "random",
}  # fmt: skip
BAYES_CIFAR = (BAYES | VGG) | {
    "method.alpha": 3e-4, "method.data_scale": 10, "batch_size": 50, "dataset.augment": "crop_flip",
    "dataset.validation": 5000, "net.norm_eps": 1e-5, "net.norm_factor": 0.2, "net.norm_factor_dense": 0.1,
}  # fmt: skip
THEANO = {
    "loss": "squared_hinge", "method.lr_schedule": "exponential", "method.schedule_every": "epoch",
    "method.glorot_scale": True, "method.init": "uniform", "method.clip": 1, "select": "best",
}  # fmt: skip
LAST = {"dataset.validation_from": "last", "dataset.validation": None}
BINARYNET = THEANO | {
    "method.name": "ste", "method.activation": "deterministic", "method.optimizer": "adam",
    "net.norm_running": "inverse_std", "net.norm_eps": None, "net.norm_factor": 0.1, "dataset.scaling": "symmetric",
}  # fmt: skip
CONNECT = THEANO | {"method.name": "binaryconnect", "method.weights": "deterministic", "net.norm_running": "std"}
TORCH7 = {
    "method.name": "ste_shift", "method.activation": "stochastic", "method.norm": "shift",
    "method.norm_output": "batch", "method.optimizer": "shift_adamax", "method.betas": "code",
    "method.write_back": True, "method.glorot_scale": True, "method.init": "torch7", "net.norm_eps": 1e-5,
    "net.norm_factor": 1 / 8, "net.norm_factor_output": 0.1, "loss": "squared_hinge", "select": "last",
    "method.lr_schedule": "staircase", "method.schedule_every": "epoch", "method.stairs": 10,
}  # fmt: skip
REPORT = {
    "method.init": "glorot", "method.weight_gradient": "hardtanh", "method.activation_gradient": "hardtanh",
    "method.clip": None, "method.lr": 1e-3, "method.lr_schedule": "milestones", "method.schedule_every": "epoch",
    "loss": "cross_entropy", "batch_size": 100, "select": "last", "dataset.scaling": "unit", "dataset.augment": "none",
    "net.norm_factor": 0.01,
}  # fmt: skip
VANILLA = {"method.name": "ste", "method.optimizer": "adam", "net.norm_eps": 1e-3}
SHIFT = {
    "method.name": "ste_shift", "method.optimizer": "shift_adamax", "method.norm": "shift", "net.norm_eps": 1e-8,
    "method.statistic": "variance", "method.write_back": False, "method.glorot_scale": False,
}  # fmt: skip
REPORT_MNIST = REPORT | {
    "dataset.name": "mnist", "dataset.validation": 5000, "epochs": 10, "net.widths": [784, 2048, 2048],
    "method.milestones": list(range(2, 11)),
    "method.factors": pytest.approx([0.91 ** sum(range(e)) for e in range(2, 11)], rel=1e-9),
}  # fmt: skip
REPORT_CIFAR = (REPORT | VGG) | {
    "dataset.name": "cifar10", "dataset.validation": 0, "epochs": 20, "net.first_padding": 0,
    "method.milestones": [10, 20], "method.factors": [0.5, 0.25],
}  # fmt: skip
BOP2ND_STUDY = KERAS | {
    "method.name": "bop2nd", "method.lr_schedule": "constant", "method.threshold": 1e-6, "method.gamma": 1e-7,
    "method.sigma": 1e-3, "method.correction": "unbiased", "epochs": 100, "batch_size": 100,
}  # fmt: skip
NORMALIZED = {
    "dataset.augment": "crop_flip", "dataset.scaling": "constants", "dataset.mean": [0.485, 0.456, 0.406],
    "dataset.sd": [0.229, 0.224, 0.225], "dataset.validation": 0, "select": "last",
}  # fmt: skip
SGD = {
    "method.optimizer": "sgd", "method.momentum": 0.9, "method.clip": None, "method.decayed": "all",
    "method.schedule_every": "epoch", "method.lr_schedule": "cosine", "method.lr_end": 0,
}  # fmt: skip
TODAY = SGD | NORMALIZED | {
    "dataset.name": "cifar10", "net.norm_eps": 1e-5, "net.norm_factor": 0.1, "net.output_norm": False,
    "loss": "cross_entropy",
}  # fmt: skip
VGG_SMALL = {"net.name": "vgg_small", "net.width": 128, "method.init": "kaiming_out"}
RESNET20 = {"net.name": "resnet20", "net.width": 16, "method.init": "kaiming"}
RESNET18 = {"net.name": "resnet18", "net.width": 64, "net.shortcut": "single"}
IRNET = TODAY | {
    "method.name": "irnet", "method.warmup": 0, "method.weight_decay": 1e-4, "method.nesterov": False,
    "batch_size": 128, "method.steepness_end": 10, "method.steepness_schedule": "exponential",
}  # fmt: skip
WARM = {"method.lr": 0.1, "method.warmup": 4, "method.warmup_from": 1 / 5}
RECU = TODAY | WARM | {
    "method.name": "recu", "method.weight_decay": 5e-4, "method.quantile": 0.85, "method.quantile_end": 0.99,
    "epochs": 600, "batch_size": 256, "net.nonlinearity": "hardtanh",
}  # fmt: skip
RESTE = TODAY | WARM | {
    "method.name": "reste", "method.weight_decay": 1e-4, "method.root_end": 3, "epochs": 1000, "batch_size": 256,
    "net.nonlinearity": "none", "net.relu_before_norm": True,
}  # fmt: skip
IMAGENET = NORMALIZED | {
    "dataset.name": "imagenet", "dataset.size": 224, "dataset.resize": None, "dataset.scale": [0.08, 1],
    "dataset.interpolation": "bilinear", "dataset.antialias": True, "dataset.classes": 1000, "loss": "cross_entropy",
}  # fmt: skip
TENSORFLOW = IMAGENET | {"dataset.interpolation": "bicubic", "dataset.antialias": False, "method.adam_eps": 1e-7}
BIREAL = {
    "net.name": "birealnet18", "net.width": 64, "net.norm_eps": 1e-3, "net.norm_factor": 0.2,
    "net.nonlinearity": "none", "net.downsample": "average_conv", "net.shortcut": "double",
    "method.activation_gradient": "approxsign",
}  # fmt: skip
XNOR = {
    "net.name": "xnornet", "net.width": 96, "net.norm_eps": None, "net.norm_factor": 0.1, "net.norm_scale": True,
    "method.activation_gradient": "hardtanh",
}  # fmt: skip
FLIPS = TENSORFLOW | {
    "method.lr": 2.5e-3, "method.lr_end": 5e-6, "method.schedule_every": "step", "method.threshold": 1e-8,
    "method.gamma": 1e-4, "batch_size": 1024, **{f"method.{name}_schedule": "linear" for name in ("lr", "gamma")},
}  # fmt: skip
BOP_IMAGENET = FLIPS | {"method.name": "bop", "method.gamma_end": 1e-6, "method.threshold_schedule": "constant"}
BOP2ND_IMAGENET = FLIPS | {
    "method.name": "bop2nd", "method.threshold_end": 1e-5, "method.gamma_end": 1e-9, "method.sigma": 1e-5,
    "method.sigma_end": 1e-2, "method.correction": "biased",
    **{f"method.{name}_schedule": "linear" for name in ("threshold", "sigma")},
}  # fmt: skip
LATENT_IMAGENET = {
    "method.name": "ste", "method.optimizer": "adam", "method.glorot_scale": False, "method.warmup": 0,
    "method.activation": "deterministic",
}  # fmt: skip
TWO_REAL = {"method.weight_decay": 2 * 5e-7}
DOUBLE_R18 = BIREAL | {
    "net.norm_eps": 1e-5, "net.norm_factor": 0.1, "net.downsample": "conv", "net.dense_norm": True,
    "net.first_nonlinearity": True, "net.nonlinearity": "hardtanh",
}  # fmt: skip
del DOUBLE_R18["method.activation_gradient"]  # which these methods do not have

PRESETS = {
    "irnet_cifar10_vgg_small": IRNET | VGG_SMALL | {
        "method.lr": 0.007, "epochs": 300, "method.steepness": 1e-1, "net.nonlinearity": "hardtanh",
    },
    "irnet_cifar10_resnet20": IRNET | RESNET20 | {
        "method.lr": 0.1, "epochs": 400, "method.steepness": 1e-3, "net.nonlinearity": "hardtanh",
        "net.shortcut": "double", "net.downsample": "subsample",
    },
    "irnet_imagenet": IRNET | IMAGENET | DOUBLE_R18 | {
        "method.lr": 0.8, "method.warmup": round(2500 * 2048 / 1281167), "method.warmup_from": 0.2 / 0.8,
        "method.lr_schedule": "milestones", "method.milestones": [31, 61, 91], "method.factors": [0.1, 0.01, 0.001],
        "method.nesterov": True, "method.weight_decay": 1e-5, "method.init": "kaiming_out", "epochs": 100,
        "batch_size": 32 * 64, "method.schedule_every": "step", "method.steepness": 0.1,
    },
    "recu_cifar10_vgg_small": RECU | VGG_SMALL,
    "recu_cifar10_resnet20": RECU | RESNET20 | {"net.shortcut": "double", "net.downsample": "average"},
    "recu_cifar10_resnet18": RECU | RESNET18 | {"net.downsample": "average", "method.init": "kaiming"},
    "recu_imagenet": RECU | IMAGENET | DOUBLE_R18 | {
        "method.weight_decay": 1e-4, "method.decayed": "weights", "epochs": 200, "batch_size": 512,
        "dataset.scale": [0.08, 1.25], "method.init": "kaiming",
    },
    "reste_cifar10_vgg_small": RESTE | VGG_SMALL | {"net.pool_after_norm": True},
    "reste_cifar10_resnet20": RESTE | RESNET20 | {"net.shortcut": "single", "net.downsample": "subsample"},
    "reste_cifar10_resnet20_double": RESTE | RESNET20 | {"net.shortcut": "double", "net.downsample": "subsample"},
    "reste_cifar10_resnet18": RESTE | RESNET18 | {
        "net.downsample": "conv", "epochs": 2000, "batch_size": 96, "method.init": "pytorch",
    },
    "reste_imagenet": RESTE | IMAGENET | DOUBLE_R18 | {
        "method.warmup": 0, "epochs": 250, "batch_size": 750, "dataset.scale": [0.08, 1.25], "net.nonlinearity": "none",
        "net.first_nonlinearity": False, "method.init": "kaiming",
    },
    "bop_imagenet_xnornet": BOP_IMAGENET | XNOR | TWO_REAL | {"epochs": 100},
    "bop_imagenet_birealnet18": BOP_IMAGENET | BIREAL | {"epochs": 300, "method.weight_decay": 0},
    "bop2nd_imagenet_xnornet": BOP2ND_IMAGENET | XNOR | TWO_REAL | {"epochs": 100},
    "bop2nd_imagenet_birealnet18": BOP2ND_IMAGENET | BIREAL | {"epochs": 150, "method.weight_decay": 0},
    "birealnet_imagenet": IMAGENET | LATENT_IMAGENET | BIREAL | {
        "net.norm_eps": 1e-5, "net.norm_factor": 0.1, "loss": "smoothed_cross_entropy", "method.init": "positive",
        "method.clip": None, "method.weight_gradient": "birealnet", "method.lr": 1e-3, "method.lr_end": 0,
        "method.lr_schedule": "linear", "method.schedule_every": "epoch_end", "method.weight_decay": 0, "epochs": 256,
        "batch_size": 512, "method.adam_eps": 1e-8,
    },
    "birealnet_imagenet_zoo": TENSORFLOW | LATENT_IMAGENET | BIREAL | {
        "method.init": "glorot_normal", "method.clip": 1, "method.weight_gradient": "hardtanh", "method.lr": 5e-3,
        "method.lr_end": 0, "method.lr_schedule": "linear", "method.schedule_every": "step", "method.weight_decay": 0,
        "epochs": 300, "batch_size": 512,
    },
    "xnornet_imagenet": IMAGENET | LATENT_IMAGENET | XNOR | {
        "method.init": "kaiming", "method.clip": 1, "method.center": True, "method.weight_gradient": "xnor",
        "method.lr": pytest.approx(0.1 * 1e-2), "method.lr_schedule": "milestones", "method.schedule_every": "epoch",
        "method.milestones": [19, 30, 44, 53], "method.factors": pytest.approx([5e-3 / 1e-2, 1e-1, 5e-4 / 1e-2, 1e-2]),
        "method.adam_eps": pytest.approx(1e-8 / 1e9), "method.weight_decay": 0, "epochs": 55, "batch_size": 800,
    },
    "xnornet_imagenet_zoo": TENSORFLOW | LATENT_IMAGENET | XNOR | TWO_REAL | {
        "net.norm_scale": False, "method.init": "glorot", "method.clip": 1, "method.decayed": "weights",
        "method.weight_gradient": "xnor_exact", "method.lr": 1e-3, "method.lr_schedule": "milestones",
        "method.schedule_every": "epoch", "method.milestones": [e + 1 for e in (19, 30, 44, 53, 66, 76, 86)],
        "method.factors": pytest.approx([0.5, 0.1, 0.1 * 0.5, 0.01, 0.01 * 0.5, 0.01 * 0.1, 0.001 * 0.1]),
        "epochs": 100, "batch_size": 1200,
    },
    "bayesbinn_mnist": BAYES | {
        "dataset.name": "mnist", "dataset.validation": 6000, "dataset.mean": [0.1307], "dataset.sd": [0.3081],
        "dataset.augment": "none", "method.alpha": 1e-4, "method.temperature": 1e-10, "method.data_scale": 1,
        "batch_size": 100, "net.name": "mlp", "net.width": 2048, "net.depth": 3, "net.dropout_input": 0.2,
        "net.dropout_hidden": 0.2, "net.norm_eps": 1e-4, "net.norm_factor": 0.15,
    },
    "bayesbinn_cifar10": BAYES_CIFAR | {
        "dataset.name": "cifar10", "method.temperature": 1e-10, "dataset.mean": [0.4914, 0.4822, 0.4465],
        "dataset.sd": [0.2023, 0.1994, 0.2010],
    },
    "bayesbinn_cifar100": BAYES_CIFAR | {
        "dataset.name": "cifar100", "method.temperature": 1e-8, "dataset.mean": [0.507, 0.487, 0.441],
        "dataset.sd": [0.267, 0.256, 0.276],
    },
    "binarynet_mnist": BINARYNET | LAST | {
        "dataset.name": "mnist", "net.width": 4096, "net.depth": 3, "net.dropout_input": 0.2,
        "net.dropout_hidden": 0.5, "epochs": 1000, "batch_size": 100, "method.lr": 3e-3, "method.lr_end": 3e-7,
    },
    "binarynet_cifar10": BINARYNET | VGG | LAST | {
        "dataset.name": "cifar10", "epochs": 500, "batch_size": 50, "method.lr": 1e-3, "method.lr_end": 3e-7,
        "dataset.augment": "none",
    },
    "binarynet_svhn": BINARYNET | SVHN | {
        "epochs": 200, "batch_size": 50, "method.lr": 1e-3, "method.lr_end": 1e-6,
    },
    "binaryconnect_mnist": CONNECT | LAST | {
        "dataset.name": "mnist", "net.width": 2048, "net.depth": 3, "net.dropout_hidden": 0, "net.norm_factor": 0.15,
        "method.optimizer": "adam", "epochs": 250, "batch_size": 100, "method.lr": 1e-3, "method.lr_end": 3e-6,
    },
    "binaryconnect_mnist_article": CONNECT | LAST | {
        "dataset.name": "mnist", "net.width": 1024, "net.depth": 3, "net.norm_factor": 0.33,
        "method.optimizer": "sgd", "epochs": 1000, "batch_size": 200, "method.lr": 3, "method.lr_end": 0.1,
    },
    "binaryconnect_cifar10": CONNECT | VGG | LAST | {
        "dataset.name": "cifar10", "dataset.scaling": "zca", "dataset.zca_contrast": True, "dataset.zca_bias": 0.1,
        "net.norm_factor": 0.1, "method.optimizer": "adam", "epochs": 500, "batch_size": 50, "method.lr": 3e-3,
        "method.lr_end": 2e-6,
    },
    "binaryconnect_svhn": CONNECT | SVHN | {
        "dataset.scaling": "lcn", "net.norm_factor": 0.1, "method.optimizer": "adam", "epochs": 200, "batch_size": 50,
        "method.lr": 1e-2, "method.lr_end": 3e-6,
    },
    "binarynet_torch7_mnist": TORCH7 | {
        "dataset.name": "mnist", "dataset.scaling": "standardize", "net.width": 2048, "net.depth": 3,
        "net.dropout_hidden": 0, "method.glorot_ap2": False, "method.glorot_norm": True, "method.clip_norm": False,
        "epochs": 200, "batch_size": 100, "method.lr": 2**-6, "method.lr_end": 2**-15,
    },
    "binarynet_torch7_cifar10": TORCH7 | VGG | LAST | {
        "dataset.name": "cifar10", "dataset.scaling": "zca", "dataset.zca_contrast": False, "dataset.zca_bias": 1e-6,
        "method.glorot_ap2": True, "method.glorot_norm": False, "method.clip_norm": True, "method.clip": 1,
        "epochs": 500, "batch_size": 200, "method.lr": 2**-6, "method.lr_end": 2**-15,
    },
    "binarynet_torch7_svhn": TORCH7 | SVHN | {
        "dataset.scaling": "lcn", "method.glorot_ap2": True, "method.glorot_norm": False, "method.clip_norm": False,
        "epochs": 200, "batch_size": 200, "method.lr": 2**-7, "method.lr_end": 2**-16,
    },
    "bop_cifar10": KERAS | {
        "method.name": "bop", "method.lr_schedule": "constant", "method.threshold": 1e-8, "epochs": 500,
        "batch_size": 50, "method.gamma": 1e-4, "method.gamma_end": 1e-8, "method.gamma_schedule": "staircase",
        "method.stairs": 5,
    },
    "bop_cifar10_study": KERAS | {
        "method.name": "bop", "method.lr_schedule": "constant", "method.threshold": 1e-6, "method.gamma": 1e-3,
        "epochs": 100, "batch_size": 100,
    },
    "bop2nd_cifar10": KERAS | {
        "method.name": "bop2nd", "method.correction": "biased", "method.lr_end": 1e-3, "method.lr_schedule": "linear",
        "method.threshold": 1e-5, "method.threshold_end": 1e-8, "method.threshold_schedule": "linear",
        "method.gamma": 1e-2, "method.gamma_end": 1e-5, "method.gamma_schedule": "linear", "method.sigma": 1e-7,
        "method.sigma_end": 1e-2, "method.sigma_schedule": "linear", "method.schedule_every": "step", "epochs": 500,
        "batch_size": 50, "method.scope": "weight",
    },
    "bop2nd_cifar10_study": BOP2ND_STUDY,
    "bop2nd_cifar10_norms": BOP2ND_STUDY | {"epochs": 150},
    "bop2nd_cifar10_decay": BOP2ND_STUDY | {
        "epochs": 350, "batch_size": 50, "method.milestones": [101, 201, 301], "method.factors": [0.1, 0.01, 0.001],
        **{f"method.{name}_schedule": "milestones" for name in ("lr", "threshold", "gamma", "sigma")},
    },
    "report_mnist": REPORT_MNIST | VANILLA,
    "report_mnist_shift": REPORT_MNIST | SHIFT,
    "report_cifar10": REPORT_CIFAR | VANILLA,
    "report_cifar10_shift": REPORT_CIFAR | SHIFT,
}  # fmt: skip
CHOICES = {"method.name", "dataset.name", "net.name", "seed", "split_seed", "epochs", "batch_size", "loss", "precision"}
BUDGET = {"gradient_clip", "limit_train"}


def composed(name: str) -> RunConfig:
    register()
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        return resolve(hydra.compose("run", [f"+experiment={name}"]))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_numbers_of_its_source(name):
    config = composed(name)
    present = {key: list(value) if isinstance(value, tuple) else value for key, value in flat(identity(config)).items()}
    assert {key: present[key] for key in PRESETS[name]} == PRESETS[name]
    assert set(flat(changed(config))) <= PRESETS[name].keys() | CHOICES | BUDGET  # and nothing else is set


def test_every_published_preset_is_stated():
    """Those that are not are ours, and say so."""
    ours = {"bernoulli", "cifar10_small", "mnist_", "pbnet", "pbop", "study_", "bnnplus", "bop_mnist", "bop2nd_mnist"}
    ours |= {"bayesbinn_short", "ablation_", "slides_net_"}
    assert {name for name in set(experiment_names()) - PRESETS.keys() if not name.startswith(tuple(ours))} == set()


def rates(config: RunConfig, name: str) -> list[float]:
    """The value of a scheduled hyperparameter at the start of each epoch."""
    method = METHODS[config.method.name](config.method, NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")
    method.epochs = config.epochs
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = Scheduler(optimizer, method.schedules(), 2, config.epochs, config.method.schedule_every)
    values = []
    for _ in range(config.epochs):
        values.append(scheduler.values[name])
        scheduler.step()
        scheduler.step()
    return values


def test_rates_epoch_by_epoch():
    cosine = [1e-4 * (1 + math.cos(math.pi * e / 500)) / 2 for e in range(1, 501)]
    assert rates(composed("bayesbinn_mnist"), "alpha") == pytest.approx(cosine, rel=1e-6, abs=2e-16)
    assert rates(composed("report_mnist"), "lr") == pytest.approx(
        [1e-3 * 0.91 ** (e * (e - 1) / 2) for e in range(1, 11)]
    )
    expected = [1e-3] * 9 + [5e-4] * 10 + [2.5e-4]
    assert rates(composed("report_cifar10_shift"), "lr") == pytest.approx(expected)
    assert rates(composed("binarynet_torch7_cifar10"), "lr") == pytest.approx(
        [2.0 ** -(6 + e // 50) for e in range(500)]
    )
    assert rates(composed("bop_cifar10"), "gamma") == pytest.approx([10.0 ** -(4 + e // 100) for e in range(500)])
    decay = composed("bop2nd_cifar10_decay")
    for name, start in (("lr", 1e-2), ("threshold", 1e-6), ("gamma", 1e-7), ("sigma", 1e-3)):
        assert rates(decay, name) == pytest.approx([start * 10.0 ** -(e // 100) for e in range(350)])
    recu = composed("recu_cifar10_vgg_small")
    warm = [0.1 * (e + 1) / 5 for e in range(5)]
    falling = [0.05 * (1 + math.cos(math.pi * (e - 4) / (600 - 4))) for e in range(5, 600)]
    assert rates(recu, "lr") == pytest.approx([*warm, *falling])
    A = (0.99 - 0.85) / (math.e - 1)
    assert rates(recu, "quantile") == pytest.approx([A * math.exp(e / 600) + 0.85 - A for e in range(600)])
    irnet = composed("irnet_cifar10_resnet20")
    assert rates(irnet, "lr") == pytest.approx([0.05 * (1 + math.cos(math.pi * e / 400)) for e in range(400)])
    assert rates(irnet, "steepness") == pytest.approx([10 ** (-3 + 4 / 400 * e) for e in range(400)])
    reste = composed("reste_cifar10_resnet20")
    expected = [1 + (1 - math.cos(e / 1000 * math.pi * 0.5)) * (3 - 1) for e in range(1000)]
    assert rates(reste, "root") == pytest.approx(expected)
    article = composed("binaryconnect_mnist_article")
    assert rates(article, "lr") == pytest.approx([3 * (0.1 / 3) ** (e / 1000) for e in range(1000)])


@pytest.mark.parametrize("name", ["binarynet_svhn", "binaryconnect_svhn", "binarynet_torch7_svhn"])
def test_the_net_of_svhn(name):
    parts = Parts(WeightSign, ActivationSign)
    config = composed(name)
    with torch.device("meta"):
        net = NETS["vgg"](replace(config.net), parts, (3, 32, 32), 10)
    shapes = [tuple(layer.weight.shape[:2]) for layer in binary_layers(net).values()]
    convolutions = [(64, 3), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256)]
    assert shapes == [*convolutions, (1024, 4096), (1024, 1024), (10, 1024)]
