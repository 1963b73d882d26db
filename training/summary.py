"""What a run prints at its end, and how a time is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packed.sizes import compared
from results.record import Record


def run_summary(record: Record, path: Path, packed_paths: Sequence[Path] = ()) -> str:
    """Errors, gap, flips, speed, memory, and where the record and the packed net are."""
    config, validation, test = record.config, record.validation, record.test
    lines = [
        f"{config['method']['name']} on {record.data['label']}, {config['net']['name']}, seed {config['seed']}: "
        f"chosen at epoch {record.best_epoch} of {config['epochs']}",
    ]
    for name, split in (("validation", validation), ("test", test)):
        if split:
            lines.append(f"  {name + ' error':<18} {split['error']:.2f} %   (last epoch {split['last_error']:.2f} %)")
    binary = {True: "binary", False: "real"}
    model = record.model
    kinds = f"({binary[model['binary_weights']]} weights, {binary[model['binary_activations']]} activations)"
    if measured := test or validation:
        lines.append(f"  binarization gap   {measured['binarization_gap']:+.2f} points {kinds}")
    if "net_flips" in record.curves:
        net, rate = record.curves["net_flips"], record.curves["flip_rate"]
        lines.append(
            f"  flips              {net[0]:.1%} of the weights in the first epoch, {net[-1]:.2%} in the last "
            f"({rate[-1]:.1e} per weight and step)"
        )
    if packed := record.packed:
        lines.append(f"  packed             {packed_text(packed)}")
        lines += [f"  packed net         {place}" for place in packed_paths if "refused" not in packed]
    cost = record.cost
    lines += [
        f"  speed              {cost['images_per_second']:,.0f} img/s, {cost['elapsed_seconds']:.0f} s in all, "
        f"peak memory {cost['peak_memory'] / 2**20:,.0f} MiB",
        f"  record             {path}",
    ]
    return "\n".join(lines)


def packed_text(packed: dict[str, Any]) -> str:
    """`41 KiB (fp32 1.1 MiB, 27× smaller), test error 2.79 %, 0 of 10,000 predictions differ`, or why there is none."""
    if "refused" in packed:
        return f"no: {packed['refused']}"
    test = packed["test"]
    return (
        f"{compared(packed['bytes'], packed['float32_bytes'])}, test error {test['error']:.2f} %, "
        f"{test['differ']:,} of {test['images']:,} predictions differ"
    )


def duration(seconds: float) -> str:
    """`42 s`, `7 min` or `2 h 55 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
