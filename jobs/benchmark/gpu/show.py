"""The figures as lines for a terminal."""

from typing import Any

COLUMNS = ("tokens/s", "x", "of peak", "waiting", "memory", "padding", "passes", "differs", "start-up")


def table(result: dict[str, Any]) -> str:
    """What was found, then what wasn't and why."""
    parts = result["parts"]
    peaks = {step.removeprefix("peak-"): found["flops_per_s"] for step, found in parts.get("card", {}).items()}
    lines = [f"{result.get('card', {}).get('name', 'unknown card')}, {result['date']}, commit {result['commit']}"]
    lines += [f"  matrix products in {dtype}: {speed / 1e12:,.2f} TFLOP/s" for dtype, speed in peaks.items()]
    for dtype, found in parts.get("losses", {}).items():
        lines.append(f"  losses in {dtype}: at most {found['largest_error']:.1e} off (bar {found['bar']:g})")
    for group in (group for group in parts if group.startswith("scoring")):
        lines += ["", f"{group:<18}" + "".join(f"{column:>10}" for column in COLUMNS)]
        first = next(iter(parts[group].values()))["tokens_per_s"]
        lines += [_row(name, found, first, peaks) for name, found in parts[group].items()]
    for name, found in parts.get("training", {}).items():
        lines.append(f"  training {name}: MFU {found['mfu']:.1%}, {found['tokens_per_s']:,.0f} tokens/s")
    lines += [f"  NOT DONE {name}: {' '.join(why.split())[-300:]}" for name, why in result["not_done"].items()]
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any], first: float, peaks: dict[str, float]) -> str:
    peak = peaks.get("float8" if name.startswith("float8") else "bfloat16")
    waiting = found.get("waiting")
    cells = (
        f"{found['tokens_per_s']:,.0f}", f"{found['tokens_per_s'] / first:.2f}",
        f"{found['flops_per_s'] / peak:.0%}" if peak else "-", "-" if waiting is None else f"{waiting:.0%}",
        f"{found['peak_memory_gb']:.1f} GB", f"{found['padding']:.1%}", f"{found['passes']:.2f}",
        f"{found['loss_differs']:.0e}", f"{found['start_up_s']:.1f} s",
    )  # fmt: skip
    return f"  {name:<16}" + "".join(f"{cell:>10}" for cell in cells)
