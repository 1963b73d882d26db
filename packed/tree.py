"""The structure of a trained net: modules in sequence, and sums of a branch and a shortcut."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from .operations import PackError

UNCHANGED = (nn.Dropout, nn.Dropout2d, nn.Identity)  # evaluate to their input


@dataclass(frozen=True)
class Leaf:
    """A module that computes something, by its name in the net."""

    name: str
    module: nn.Module

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__})"

    @property
    def has_weights(self) -> bool:
        """Whether it is a layer whose product of inputs and weights is packed."""
        return isinstance(self.module, nn.Linear | nn.Conv2d)


@dataclass(frozen=True)
class Fork:
    """A module that adds the results of two of its children, which it names in `adds`, of one input."""

    name: str
    branches: tuple[tuple["Item", ...], tuple["Item", ...]]


Item = Leaf | Fork


def items(net: nn.Module, prefix: str = "") -> tuple[Item, ...]:
    """Of an nn.Sequential (of …), without what evaluates to its input. PackError for another kind of net, and for a
    sequence that computes in a way of its own."""
    if not isinstance(net, nn.Sequential) or not _computes_as(net, nn.Sequential):
        raise PackError(f"{prefix.rstrip('.') or 'the net'} ({type(net).__name__}) is not a sequence of layers")
    return tuple(_items(net, prefix))


def _items(net: nn.Sequential, prefix: str) -> Iterator[Item]:
    for name, module in net._modules.items():  # named_children leaves out a module that stands there twice
        path = prefix + name
        if isinstance(module, nn.Sequential):
            yield from items(module, f"{path}.")
        elif adds := getattr(module, "adds", None):
            first, second = (items(getattr(module, child), f"{path}.{child}.") for child in adds)
            yield Fork(path, (first, second))
        elif module is not None and not any(_computes_as(module, kind) for kind in UNCHANGED):
            yield Leaf(path, module)


def _computes_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it is of this kind, and computes as all of it do: a subclass may have a `forward` of its own."""
    return isinstance(module, kind) and getattr(module.forward, "__func__", None) is kind.forward


def leaves(found: tuple[Item, ...], in_shortcut: bool = False) -> Iterator[tuple[Leaf, bool]]:
    """All modules that compute something, in order, and whether each lies in a shortcut: in the second of the
    branches."""
    for item in found:
        if isinstance(item, Fork):
            yield from leaves(item.branches[0], in_shortcut)
            yield from leaves(item.branches[1], True)
        else:
            yield item, in_shortcut


def layers(found: tuple[Item, ...]) -> Iterator[tuple[Leaf, bool]]:
    """Of `leaves`, the layers with weights."""
    return (one for one in leaves(found) if one[0].has_weights)
