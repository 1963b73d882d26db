"""Whether a run's training step is compiled: where the run is long enough to earn the wait, and a compiler works."""

import warnings

import torch
import torch._inductor.config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from configs.schema import RunConfig
from datamodules.base import DataModule
from methods.base import Method

# A run compiles by itself from this much work on. On one core of a Xeon with AVX-512, compiling `ste` takes 22 s for
# mlp and 44 s for vgg; 1 to 4 s where the compiler's cache has the net. It saves 12 % of a step of mlp (37 % with
# pbnet); of one of vgg, channels-last, 14 to 19 % on two threads, and nothing that could be measured on one. So mlp has
# earned the wait back after 1.2e13 operations.
COMPILE_FROM_FLOPS = {"cpu": 1e13, "cuda": 2e16}


def compile_where_it_pays(config: RunConfig, method: Method, data: DataModule) -> None:
    """Compiles the training pass of `method` where the configuration says so, or leaves it open and it pays."""
    device = data.device
    if not (_is_wanted(config, method.net, data, device) and _works_here(device)):
        return
    torch._dynamo.reset()  # a grid trains many nets in one process: each starts with fresh caches
    # on a CPU, random numbers of compiled code take 2.5 times as long as torch's own, which also are those of a run
    # that is not compiled
    torch._inductor.config.fallback_random = device.type == "cpu"
    method.compile_training()


def training_flops(net: nn.Module, input_shape: tuple[int, ...], batch_size: int) -> float:
    """Floating-point operations of one training step's matrix products: forward, and twice that backward."""
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(batch_size, *input_shape, device=device))
    net.train(was_training)
    return 3.0 * counter.get_total_flops()


def _is_wanted(config: RunConfig, net: nn.Module, data: DataModule, device: torch.device) -> bool:
    if config.compile is not None:
        return config.compile
    if config.batch_norm == "synchronized":
        return False
    steps = config.epochs * len(data.train_dataloader())
    own = config.batch_size // (config.devices * config.num_nodes)
    work = steps * training_flops(net, data.input_shape, own)
    return work >= COMPILE_FROM_FLOPS.get(device.type, float("inf"))


def _works_here(device: torch.device) -> bool:
    """Compiles one addition, which needs all that a net needs (a C++ compiler, Python's headers, Triton on CUDA)."""
    try:
        # without caches: an earlier result says nothing of today
        with torch._inductor.config.patch(force_disable_caches=True), warnings.catch_warnings(action="ignore"):
            torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except Exception as error:
        print(f"compile: no working compiler here ({type(error).__name__}), training goes on uncompiled")
        return False
    return True
