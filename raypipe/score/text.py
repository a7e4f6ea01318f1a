"""Cheap properties of a text that a score may only be rebuilding: how well it compresses, how much it repeats."""

import zlib


def zlib_bytes(text: bytes) -> int:
    """Compressed size, at zlib's default level; above the size of very short text."""
    return len(zlib.compress(text))


def repeated_lines(text: str) -> float:
    """Share of the non-blank lines that are copies of an earlier one, white space at the ends aside: in [0, 1)."""
    lines = [line for raw in text.splitlines() if (line := raw.strip())]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0
