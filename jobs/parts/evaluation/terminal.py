"""The figures of an evaluation for a terminal, accuracies in percent."""

from raypipe.report.escape import terminal_text

from .suite import Json


def table_of(found: Json) -> str:
    """A line a benchmark and way of measuring, then a line a domain."""
    lines = []
    if found["benchmarks"]:
        lines.append("accuracy, %; intervals hold 95 % of the resamples of questions")
        lines.append("  ".join([f"{'benchmark':<20}", f"{'n':>6}", f"{'chance':>6}", f"{'measure':>14}", f"{'':>19}"]))
    for name, of in found["benchmarks"].items():
        chance = f"{100 * of['chance']:>6.1f}" if "chance" in of else f"{'':>6}"
        for label, ends in of["accuracy"].items():
            shown = (terminal_text(name, max_chars=20), terminal_text(label, max_chars=14))
            lines.append(
                "  ".join([f"{shown[0]:<20}", f"{of['n']:>6,}", chance, f"{shown[1]:>14}", _interval(ends, 100, ".1f")])
            )
    if found["corpus"]:
        lines += _documents(found["corpus"])
    return "\n".join(lines)


def _documents(found: Json) -> list[str]:
    lines = [f"{'domain':<20}  {'n':>6}  {'loss, nats a token':>24}  {'bits per byte':>24}"]
    every = {**found["domains"], "all documents": found["all"]}
    if "unseen" in found:
        every["never trained on"] = found["unseen"]["all"]
    for name, of in every.items():
        loss, bits = (f"{_interval(of[key], 1, '.4f'):>24}" for key in ("loss", "bits_per_byte"))
        lines.append(f"{terminal_text(name, max_chars=20):<20}  {of['n']:>6,}  {loss}  {bits}")
    if "trained_on" in found:
        lines.append(
            f"{found['trained_on']['n_shared']:,} documents share their id, text or 13 words with what was trained on."
        )
    for one in found.get("trained_on", {}).get("first", []):
        lines.append(f"  {terminal_text(one['name'], max_chars=60)}: {terminal_text(one['shared'], max_chars=100)}")
    return lines


def _interval(of: dict[str, float], scale: float, form: str) -> str:
    mean, low, high = (scale * of[name] for name in ("mean", "low", "high"))
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"
