"""The registry: the methods that the benchmark compares, in the order of its rows. A new method is one line here."""

from .base import Method
from .binaryconnect import BinaryConnect
from .real import Real
from .ste import STE

METHODS: dict[str, type[Method]] = {"real": Real, "binaryconnect": BinaryConnect, "ste": STE}
