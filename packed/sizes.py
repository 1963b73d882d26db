"""How sizes are written."""


def human(size: float) -> str:
    """Bytes as `41 KiB` or `1.24 MiB`, to three digits."""
    unit, name = (2**20, "MiB") if size >= 1000 * 2**10 else (2**10, "KiB")
    return f"{size / unit:.3g} {name}"


def compared(size: int, float32_bytes: int) -> str:
    """`41 KiB (fp32 1.1 MiB, 27× smaller)`"""
    return f"{human(size)} (fp32 {human(float32_bytes)}, {float32_bytes / size:.3g}× smaller)"
