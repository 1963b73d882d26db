"""How sizes are written."""

UNITS = ("KiB", "MiB", "GiB")


def human(size: float) -> str:
    """Bytes as `41 KiB`, `1.24 MiB` or `1.5 GiB`, to three digits."""
    size /= 1024
    unit, *larger = UNITS
    while larger and size >= 999.5:  # 999.5 itself would be 1e+03
        size /= 1024
        unit = larger.pop(0)
    return f"{size:.3g} {unit}"


def compared(size: int, float32_bytes: int) -> str:
    """`41 KiB (fp32 1.1 MiB, 27× smaller)`"""
    return f"{human(size)} (fp32 {human(float32_bytes)}, {float32_bytes / size:.3g}× smaller)"
