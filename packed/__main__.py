"""python -m packed info | eval | bench | c | onnx FILE"""

import argparse
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from . import file
from .engines import ENGINES, engine
from .net import INPUT, PackedNet
from .operations import REAL, PackError
from .sizes import compared, human


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 2 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        net = file.load(options.file)
        return options.run(net, options) or 0
    except PackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m packed", description="What is in a packed net, and running it.")
    commands = parser.add_subparsers(required=True, metavar="info | eval | bench | c | onnx")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("file", metavar="FILE", help="a packed net (.safetensors)")
        added.set_defaults(run=run)
        return added

    command("info", _info, "operations, shapes and bytes")
    added = command("eval", _eval, "error on a data set's test set, or on a folder of images")
    added.add_argument("source", nargs="?", help="data set, or folder of CLASS/*.png; default: the net's own data set")
    added.add_argument("--data-dir", default=os.environ.get("BNN_DATA", "data"), help="where data sets are (BNN_DATA)")
    added.add_argument("--engine", choices=ENGINES, default="auto", help="auto: fast where numba is installed")
    added.add_argument("--threads", type=int, default=1, help="batches that run at a time")
    added = command("bench", _bench, "time against the float32 twin in torch and ONNX Runtime, on one thread")
    added.add_argument("--batch", type=int, nargs="+", default=[1, 256], help="images in a call (1 256)")
    added.add_argument("--seconds", type=float, default=10, help="for each batch size (10)")
    command("c", _c, "writes the net as C99 to standard output")
    added = command("onnx", _onnx, "writes the net as QONNX")
    added.add_argument("--output", help="default: FILE with the suffix .onnx")
    added.add_argument("--batch", type=int, default=1, help="images in a call (1)")
    return parser


def _info(net: PackedNet, options: argparse.Namespace) -> None:
    for name, value in net.info.items():
        if name != "float32_bytes" and value is not None:
            print(f"{name:<14} {value}")
    print(f"{'size':<14} {_size(net, options.file)}")
    values = net.values()
    print(f"{'input':<14} {'×'.join(map(str, net.input_shape))} pixels as {net.input.kind}")
    for i, ((operation, _, after), taken) in enumerate(zip(net.steps(), net.graph, strict=True)):
        arrays = [a for a in vars(operation).values() if isinstance(a, np.ndarray)]
        real = after.kind == REAL and getattr(operation, "weight", np.zeros(0, np.uint8)).dtype == np.float32
        function = getattr(operation, "function", "")
        print(
            f"  {i:>2} {function or operation.name:<10} {'×'.join(map(str, after.shape)):<12} {after.kind:<6}"
            f"{sum(a.nbytes for a in arrays):>12,} bytes{' (real weights)' if real else ''}"
            f"{'' if taken == (i - 1,) else f'  of {_names(taken)}'}"
        )
    print(f"{'logits':<14} {values[-1].shape[0]}")


def _names(taken: tuple[int, ...]) -> str:
    return " and ".join("the input" if source == INPUT else str(source) for source in taken)


def _eval(net: PackedNet, options: argparse.Namespace) -> None:
    from .images import labelled, own_source

    source = options.source or own_source(net)
    subset = not options.source and bool(net.info.get("subset"))
    if options.threads < 1:
        raise PackError(f"--threads {options.threads}: at least 1")
    images, labels = labelled(net, source, options.data_dir, subset)
    runner = engine(net, options.engine, options.threads)
    runner.predict(images[:1])
    wrong, start, shown = 0, time.perf_counter(), 0.0
    step = 256 * options.threads
    for i in range(0, len(images), step):
        wrong += int((runner.predict(images[i : i + step]) != labels[i : i + step]).sum())
        passed = time.perf_counter() - start
        if sys.stderr.isatty() and passed - shown > 0.5:
            shown = passed
            print(f"\r{min(i + step, len(images)):,} of {len(images):,} images", end="", file=sys.stderr, flush=True)
    passed = time.perf_counter() - start
    if shown:
        print("\r\033[K", end="", file=sys.stderr)
    print(
        f"error {100 * wrong / len(images):.2f} % ({wrong:,} of {len(images):,} images of {source}{' subset' * subset})"
    )
    print(f"{len(images) / passed:,.0f} images/s ({runner.name} engine, {options.threads} threads)")


def _bench(net: PackedNet, options: argparse.Namespace) -> None:
    if not find_spec("torch"):
        raise PackError("bench compares with torch, which is not installed here")
    if min(options.batch) < 1 or not options.seconds > 0:
        raise PackError("--batch and --seconds must be larger than 0")
    from .bench import measure

    print(_size(net, options.file))
    generator = np.random.default_rng(0)
    for batch in options.batch:
        images: np.ndarray = generator.integers(0, 256, (batch, *net.input_shape)).astype(np.uint8)
        if not net.input.takes_pixels:
            images = generator.standard_normal((batch, *net.input_shape), np.float32)
        for timing in measure(net, images, options.seconds, f"batch {batch}"):
            times = f"{timing.ratio:6.1f}×" if timing.ratio != 1 else ""
            print(f"  batch {batch:<5} {timing.name:<22} {timing.milliseconds:>10.3f} ms {times}", flush=True)
    if not find_spec("onnxruntime"):
        print("  ONNX Runtime is not installed: uv sync --group onnx", file=sys.stderr)


def _c(net: PackedNet, options: argparse.Namespace) -> None:
    from .c_export import to_c

    source = to_c(net)
    print(source.text, end="")
    print(f"{source.flash:,} bytes of constants, {source.ram:,} bytes of buffers", file=sys.stderr)


def _onnx(net: PackedNet, options: argparse.Namespace) -> None:
    if options.batch < 1:
        raise PackError("--batch must be larger than 0")
    if not find_spec("onnx"):
        raise PackError("QONNX is written with the package onnx, which is not installed: uv sync --group onnx")
    from .qonnx_export import to_onnx

    path = Path(options.output or Path(options.file).with_suffix(".onnx"))
    file.write_whole(path, to_onnx(net, options.batch).SerializeToString())
    print(path)


def _size(net: PackedNet, path: str) -> str:
    size, wide = os.path.getsize(path), net.info.get("float32_bytes")
    return compared(size, wide) if isinstance(wide, int) else human(size)


if __name__ == "__main__":
    sys.exit(main())
