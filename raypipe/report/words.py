"""Numbers as people read them."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def count(n: float) -> str:
    """12345 -> `12,345`; from ten millions on `12.3 M`."""
    if abs(n) < 1e7:
        return f"{n:,.0f}"
    return f"{n / 1e9:,.2f} G" if abs(n) >= 1e9 else f"{n / 1e6:,.1f} M"


def size(n_bytes: float) -> str:
    """3221225472 -> `3.0 GiB`; below one GiB in MiB."""
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.0f} MiB"


def fraction(share: float) -> str:
    """0.1234 -> `12.3 %`; a share near a whole percentage keeps enough digits not to look like 0 or 100 %."""
    if not math.isfinite(share):
        return "–"
    percent = 100 * share
    if percent == 0 or percent == 100:
        return f"{percent:.0f} %"
    if percent < 0.1 or percent > 99.9:
        return "< 0.1 %" if percent < 0.1 else "> 99.9 %"
    return f"{percent:.1f} %"


def value(number: float | None, digits: int = 3) -> str:
    """A measured number with about three digits; `–` where there is none."""
    if number is None or not math.isfinite(number):
        return "–"
    if number == 0:
        return "0"
    decimals = max(0, min(digits - 1 - math.floor(math.log10(abs(number))), digits))
    return f"{number:,.{decimals}f}".replace("-", "−")


def signed(number: float) -> str:
    """A correlation: `+0.53`, `−0.80`; `–` where it isn't defined."""
    return f"{number:+.2f}".replace("-", "−") if math.isfinite(number) else "–"


def duration(seconds: float | None) -> str:
    """3725 -> `1 h 2 min`; 12.34 -> `12.3 s`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 60:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    return f"{int(hours)} h {int(minutes % 60)} min" if hours < 48 else f"{hours / 24:.1f} days"


def cost(busy_s: float) -> str:
    """Seconds that devices were busy, in device-hours: 36 -> `0.01`, 7200 -> `2.0`, 3.6e6 -> `1,000`."""
    hours = busy_s / 3600
    if hours < 0.01:
        return "< 0.01" if hours else "0"
    return f"{hours:.2f}" if hours < 1 else f"{hours:.1f}" if hours < 100 else f"{hours:,.0f}"


def moment(iso: str | None) -> str:
    """An ISO time to the minute: `2026-11-23 11:20 UTC`; a text that isn't one stays as it is."""
    if not iso:
        return "–"
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return time.strftime("%Y-%m-%d %H:%M ") + (time.tzname() or "")


def listed(parts: Sequence[str], most: int) -> str:
    """`a, b and 3 more`."""
    shown, more = list(parts[:most]), len(parts) - most
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)


def formats_compared(found: Mapping[str, Any]) -> str:
    """What a card says of a score in 8-bit floats (score/number_format.py), on one line."""
    worst = (
        "" if found["worst_domain"] is None else f", {found['worst_rank_correlation']:.4f} in {found['worst_domain']}"
    )
    return (
        f"{found['score']} in 8-bit floats against bfloat16, {count(found['documents'])} documents of this corpus: "
        f"{fraction(found['same_top'])} of the same best fifth, rank correlation {found['rank_correlation']:.4f}{worst}"
    )
