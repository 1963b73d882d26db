"""Training steps of a convolutional net: `run.py` with all its callbacks against bare loops, by memory format.

    python -m benchmarks.convnet [--threads 2] [--widths 16 32 128] [--rounds 5] [--steps 10] [--precision 32]

The net is BinaryNet's for CIFAR-10 (`vgg`), trained by `ste` on random images of 3×32×32. Every contender takes a block
of steps in turn, round after round, so that a noisy machine disturbs all alike. `run.py` chooses its memory format
as in any run, and compiles (as it does in runs long enough to earn it); its block is a whole epoch of Lightning,
diagnostics, progress and CSV log.
"""

import argparse

import torch

from methods.nets.vgg import Config as VGGConfig

from .interleaved import Noise, bare_loop, side_by_side, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("threads", 2), ("rounds", 5), ("steps", 10), ("batch", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 128])
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("overrides", nargs="*", help="settings of run.py, such as compile=false")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    data = Noise((3, 32, 32), a.steps, a.batch)
    for width in a.widths:
        others = {
            f"bare loop: {'compiled' if compiled else 'eager'}{', channels-last' if channels_last else ''}": bare_loop(
                "ste", VGGConfig(width=width), data, a.precision, compiled, channels_last
            )
            for compiled in (False, True)
            for channels_last in (False, True)
        }
        overrides = ["net=vgg", f"net.width={width}", f"precision={a.precision}", "compile=true", *a.overrides]
        times = side_by_side("run.py", overrides, data, others, a.rounds)
        best = min(others, key=lambda name: min(times[name]))
        print(
            f"vgg of width {width}, batch {a.batch}, precision {a.precision}, torch {torch.__version__}, "
            f"{a.threads} thread(s), {a.rounds} blocks of {a.steps} steps"
        )
        print(table(times, best, a.batch), flush=True)


if __name__ == "__main__":
    main()
