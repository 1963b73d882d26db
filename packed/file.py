"""The file of a packed net: safetensors, written whole, and checked before anything in it is used. See FORMAT.md."""

import hashlib
import json
import os
import tempfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .net import INPUT, PackedNet
from .operations import (
    Activation,
    Add,
    Average,
    Conv,
    Dense,
    Flatten,
    Input,
    Norm,
    Operation,
    PackError,
    Pad,
    Pool,
    Prelu,
    Threshold,
)

FORMAT, VERSIONS = "binarized.packed", ("1", "2")
LARGEST_HEADER = 2**20
FIRST: tuple[Any, ...] = (Dense, Conv, Pool, Threshold, Norm, Activation, Flatten)  # of version 1
OPERATIONS: dict[str, Any] = {c.name: c for c in (*FIRST, Prelu, Average, Pad, Add)}
TYPES = {  # of the arrays of an operation
    "weight": (np.uint8, np.float32),
    "threshold": (np.int32,),
    "inverted": (np.uint8,),
    "center": (np.float32,),
    "scale": (np.float32,),
    "shift": (np.float32,),
    "slope": (np.float32,),
}


def save(net: PackedNet, path: str | os.PathLike[str]) -> int:
    """Writes the file whole or not at all, and returns its size in bytes. PackError where it cannot be written."""
    content = to_bytes(net)
    write_whole(Path(path), content)
    return len(content)


def write_whole(path: Path, content: bytes) -> None:
    """Writes to a temporary file beside `path`, syncs it and renames it. PackError where that cannot be done."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise PackError(f"cannot write {path}: {error.strerror or error}") from error


def load(path: str | os.PathLike[str]) -> PackedNet:
    """Reads a packed net. PackError, naming the file, where it is none, is damaged, or has another version."""
    try:
        with open(path, "rb") as file:
            content = _checked(file, os.fstat(file.fileno()).st_size)
        return from_bytes(content)
    except OSError as error:
        raise PackError(f"cannot read {path}: {error.strerror or error}") from error
    except PackError as error:
        raise PackError(f"{path}: {error}") from error


def to_bytes(net: PackedNet) -> bytes:
    """The content of the file; the same for the same net. Its version is the first that has all that the net needs."""
    tensors: dict[str, np.ndarray] = {}
    operations = []
    for i, (operation, taken) in enumerate(zip(net.operations, net.graph, strict=True)):
        plain = _describe(operation, str(i), tensors)
        operations.append(plain if taken == (i - 1,) else plain | {"from": list(taken)})
    description = {
        "input_shape": list(net.input_shape),
        "classes": net.classes,
        "input": _describe(net.input, "input", tensors),
        "operations": operations,
        "info": net.info,
    }
    text = json.dumps(description, separators=(",", ":"), ensure_ascii=False)
    version = "1" if all(map(_in_version_1, operations)) else "2"
    metadata = {"format": FORMAT, "version": version, "net": text, "sha256": digest(text, tensors)}
    content = save_tensors(tensors, metadata=metadata)
    # safetensors writes metadata in an order that differs from one call to the next
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]) | {"__metadata__": metadata}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def from_bytes(content: bytes) -> PackedNet:
    """The net in the content of a file. PackError where anything in it does not fit."""
    metadata = _metadata(_header(content[8 : 8 + int.from_bytes(content[:8], "little")]))
    try:
        tensors = load_tensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise PackError(f"damaged: {_line(error)}") from error
    if digest(metadata["net"], tensors) != metadata["sha256"]:
        raise PackError("damaged: its checksum does not fit its content")
    try:
        return _read_net(json.loads(metadata["net"]), tensors, metadata["version"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        text = str(error) if isinstance(error, PackError) else f"{type(error).__name__} {_line(error)}"
        raise PackError(f"not a packed net: {text}") from error


def digest(text: str, tensors: dict[str, np.ndarray]) -> str:
    """SHA-256, in hexadecimal, of the text in UTF-8 and then of each tensor's bytes, in the order of their names."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        sha.update(np.ascontiguousarray(tensors[name]).tobytes())
    return sha.hexdigest()


def _describe(operation: Operation | Input, name: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The plain values of an operation; its arrays go to `tensors` as `<name>.<field>`."""
    plain: dict[str, Any] = {"op": operation.name}
    for item in fields(operation):
        value = getattr(operation, item.name)
        if isinstance(value, np.ndarray):
            tensors[f"{name}.{item.name}"] = np.ascontiguousarray(value)
        elif value is not None and value != item.default:
            plain[item.name] = value
    return plain


def _in_version_1(plain: dict[str, Any]) -> bool:
    """Whether version 1 of the format has the described operation."""
    return OPERATIONS[plain["op"]] in FIRST and "from" not in plain and (plain["op"] != "pool" or len(plain) == 2)


def _read_net(description: dict[str, Any], tensors: dict[str, np.ndarray], version: str) -> PackedNet:
    unread = dict(tensors)
    source = _read_operation(Input, description["input"], "input", unread)
    operations, sources = [], []
    for i, plain in enumerate(description["operations"]):
        if plain["op"] not in OPERATIONS or (version == "1" and not _in_version_1(plain)):
            raise PackError(f"operation {i} is a {plain['op']!r}, which version {version} does not have")
        sources.append(tuple(_source(number, i) for number in plain.get("from", [i - 1])))
        operations.append(_read_operation(OPERATIONS[plain["op"]], plain, str(i), unread))
    if unread:
        raise PackError(f"tensor {min(unread)} belongs to no operation")
    shape = tuple(_integer(side, "input_shape") for side in description["input_shape"])
    info = {str(k): v for k, v in description["info"].items()}
    classes = _integer(description["classes"], "classes")
    return PackedNet(shape, classes, source, tuple(operations), info, tuple(sources))  # type: ignore[arg-type]


def _read_operation(kind: type, plain: dict[str, Any], name: str, tensors: dict[str, np.ndarray]) -> Any:
    values: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in TYPES:
            array = tensors.pop(f"{name}.{item.name}", None)
            if array is None and kind is not Input:
                raise PackError(f"tensor {name}.{item.name} is missing")
            if array is not None and array.dtype not in TYPES[item.name]:
                raise PackError(f"tensor {name}.{item.name} is {array.dtype}")
            values[item.name] = array
        elif item.type in (int, "int"):
            value = plain[item.name] if item.default is MISSING else plain.get(item.name, item.default)
            values[item.name] = _integer(value, f"{name}.{item.name}")
        else:
            values[item.name] = str(plain[item.name])
    return kind(**values)


def _source(value: Any, before: int) -> int:
    if type(value) is not int or not INPUT <= value < before:
        raise PackError(f"operation {before} takes the result of {str(value)[:40]}, which does not come before it")
    return value


def _integer(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise PackError(f"{name} is {str(value)[:40]}, not an integer from 0 to 2³¹ − 1")
    return value


def _checked(file: Any, size: int) -> bytes:
    """The content, read where header and size agree: no more memory is taken than the file has bytes."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > LARGEST_HEADER or length + 8 > size:
        raise PackError("truncated, or not a safetensors file")
    text = file.read(length)
    header = _header(text)
    _metadata(header)
    tensors = [value for name, value in header.items() if name != "__metadata__"]
    try:
        end = max((_integer(value["data_offsets"][1], "data_offsets") for value in tensors), default=0)
    except (TypeError, KeyError, IndexError, PackError) as error:
        raise PackError("damaged: its header says not where the tensors are") from error
    if size != 8 + length + end:
        raise PackError(f"truncated or damaged: {size} bytes, but its header speaks of {8 + length + end}")
    return start + text + file.read(end)


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError("damaged, or not a safetensors file: its header cannot be read") from error
    if not isinstance(header, dict):
        raise PackError("not a safetensors file: its header is no object")
    return header


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise PackError(f"not a packed net: its metadata has no format={FORMAT}")
    if metadata.get("version") not in VERSIONS:
        version = str(metadata.get("version"))[:20]
        raise PackError(f"version {version} of the format, this program reads {' and '.join(VERSIONS)}")
    if not all(isinstance(metadata.get(key), str) for key in ("net", "sha256")):
        raise PackError("damaged: its metadata has no net or no sha256")
    return metadata


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
