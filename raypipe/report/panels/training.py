"""How models were trained: figures and curves of every training stage, from its card and its metrics files."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.axis import Axis, axis_of, tick_label
from raypipe.report.charts.curves import Curve, Draw, curve_chart, thinned
from raypipe.report.charts.strip import dot, path, strip
from raypipe.report.numbers.gather import NO_DOMAIN
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.numbers.steps import Steps, read_steps
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import cost, count, duration, fraction, size, value

MAX_DOMAINS = 24
"""Domains whose held-out loss is shown, the highest losses."""
WAIT_FLOOR = 5.0
"""Percent at the top of the scale of waiting at least: below, a scale of its own would blow up noise."""

EARLY = 0.2
"""Share of the steps, the first fifth, whose steep fall hides in a picture what the loss does later."""
MIN_LATE = 20
"""Steps below which a curve isn't drawn again without the early ones."""

SAID = (
    "Loss is cross-entropy in nats, of a numeric label the squared error; held-out documents are never trained on. "
    "MFU is the share of the speed that a large matrix product reached on the same device. Times, memory and MFU are "
    "the first worker's, tokens per second those of all workers. Curves are by step."
)
KEY = (
    ("key-curve pale", "each step"),
    ("key-curve", "mean of neighbouring steps"),
    ("key-curve heldout", "held-out loss"),
)


def training(files: RunFiles) -> Panel:
    """The panel of all training stages of the run. Raises what `read_steps` raises."""
    stages = [_stage(stage, files.cards[stage], read_steps(files, stage)) for stage in files.training]
    return panel("training", "Training", "training.html", said=SAID, key=KEY, stages=stages)


def _stage(stage: str, card: Json, steps: Steps) -> dict[str, object]:
    known: dict[str, object] = {"name": stage, "status": str(card.get("status", "unknown")), "tiles": []}
    if not len(steps):
        return known
    domains, rest = _domains(steps)
    return known | {
        "tiles": [*_progress_tiles(card, steps), *_speed_tiles(card, steps)],
        "panels": list(_panels(steps)) if len(steps) > 1 else [],
        "domains": domains, "rest": rest, "is_narrow": len(steps.known("heldout_loss")) < 2,
    }  # fmt: skip


def _progress_tiles(card: Json, steps: Steps) -> Iterator[tuple[str, str, str]]:
    n_steps, loss = card.get("identity", {}).get("n_steps"), steps["loss"]
    yield "steps", count(steps["step"][-1]), f"of {count(n_steps)}" if n_steps else ""
    yield "tokens", count(steps["tokens"][-1]), f"seen in {duration(float(np.nansum(steps['step_s'])))}"
    n_last = max(1, len(loss) // 10)
    yield "training loss", value(loss[-1], 4), f"{value(loss[-n_last:].mean(), 4)} mean of the last {count(n_last)}"
    if len(heldout := steps.known("heldout_loss")):
        at = int(steps["step"][np.nanargmin(steps["heldout_loss"])])
        best = f"best {value(heldout.min(), 4)} at step {count(at)}"
        yield "held-out loss", value(heldout[-1], 4), "the best so far" if heldout[-1] == heldout.min() else best


def _speed_tiles(card: Json, steps: Steps) -> Iterator[tuple[str, str, str]]:
    if len(speed := steps.known("tokens_per_s")):
        yield "tokens per second", count(float(np.median(speed))), "median of the steps"
    if len(mfu := steps.known("mfu")):
        yield "share of peak (MFU)", fraction(float(np.median(mfu))), "median of the steps"
    if (seconds := float(np.nansum(steps["step_s"]))) > 0:
        waited = float(np.nansum(steps["data_wait_s"]))
        yield "waiting for data", fraction(waited / seconds), f"{duration(waited)} in all"
    if len(memory := steps.known("memory_bytes")):
        yield "peak memory", size(float(memory.max())), "of the first worker"
    if (busy_s := card.get("times", {}).get("busy_s")) is not None:
        yield "device-hours", cost(busy_s), "of all workers"


@dataclass(frozen=True)
class _Panel:
    """A chart with its name and a figure beside it."""

    chart: Markup
    name: str
    note: str = ""


def _panel(x: Axis, y: Axis, drawn: list[Draw], *, name: str, note: str = "") -> _Panel:
    return _Panel(curve_chart(x, y, drawn, name=name), name, note)


def _panels(steps: Steps) -> Iterator[_Panel]:
    x = Axis(0, float(steps["step"][-1]))
    yield from _losses(x, steps)
    yield from _optimiser_panels(x, steps)
    yield from _speed_panels(x, steps)


def _losses(x: Axis, steps: Steps) -> Iterator[_Panel]:
    """The loss of all steps, and once more of those after the early ones, on a scale of their own."""
    yield _loss(x, steps, np.ones(len(steps), bool), name="loss")
    is_late = steps["step"] > EARLY * x.high
    if is_late.sum() >= MIN_LATE:
        late = Axis(EARLY * x.high, x.high)
        yield _loss(late, steps, is_late, name="loss after the first fifth")


def _loss(x: Axis, steps: Steps, is_shown: np.ndarray, *, name: str) -> _Panel:
    step, loss, heldout = (steps[quantity][is_shown] for quantity in ("step", "loss", "heldout_loss"))
    trained = axis_of(loss)
    # Held-out points are few: the share in a tail that the axis leaves out could be all of them.
    known = heldout[np.isfinite(heldout)]
    y = Axis(float(min([trained.low, *known])), float(max([trained.high, *known])))
    measured = [Curve(step, heldout).measured] if len(known) else []
    return _panel(x, y, [Curve(step, loss).noisy, *measured], name=name)


def _optimiser_panels(x: Axis, steps: Steps) -> Iterator[_Panel]:
    if len(rate := steps.known("learning_rate")):
        peak = f"peak {tick_label(float(f'{rate.max():.2e}'))}"
        curve = Curve(steps["step"], steps["learning_rate"])
        yield _panel(x, _from_zero(rate), [curve.smooth], name="learning rate", note=peak)
    if len(norm := steps.known("gradient_norm")):
        y, median = axis_of(norm, is_log=True, tails=0.0), f"median {value(float(np.median(norm)))}"
        yield _panel(x, y, [Curve(steps["step"], steps["gradient_norm"]).noisy], name="gradient norm", note=median)


def _speed_panels(x: Axis, steps: Steps) -> Iterator[_Panel]:
    with np.errstate(divide="ignore", invalid="ignore"):  # a step of no measured length has no share
        wait = 100 * steps["data_wait_s"] / steps["step_s"]
    for name, values, floor in (
        ("tokens per second", steps["tokens_per_s"], 0.0),
        ("MFU, %", 100 * steps["mfu"], 0.0),
        ("waiting for data, %", wait, WAIT_FLOOR),
    ):
        if np.isfinite(values).any():
            yield _panel(x, _from_zero(values, floor=floor), [Curve(steps["step"], values).noisy], name=name)
    gibibytes = steps["memory_bytes"] / 2**30
    if np.isfinite(gibibytes).any():
        yield _panel(x, _from_zero(gibibytes), [Curve(steps["step"], gibibytes).smooth], name="peak memory, GiB")


def _from_zero(values: np.ndarray, *, floor: float = 0.0) -> Axis:
    """A linear axis from 0 to a little above the highest value."""
    highest = float(values[np.isfinite(values)].max())
    return Axis(0, max(1.1 * highest, floor) or 1.0)


@dataclass(frozen=True)
class _Domain:
    """Held-out losses of a domain, measurements [m, 2]: step, loss."""

    name: str
    measured: np.ndarray

    @property
    def best(self) -> int:
        """Which measurement is the lowest."""
        return int(np.argmin(self.measured[:, 1]))


def _domains(steps: Steps) -> tuple[Markup | None, str]:
    """Held-out loss of each domain, the highest first, and what isn't shown; its course where it was measured twice."""
    by_domain = steps.heldout_by_domain
    if not by_domain:
        return None, ""
    order = sorted(by_domain, key=lambda domain: -by_domain[domain][-1, 1])
    n_more = len(order) - MAX_DOMAINS
    is_known = np.isfinite(steps["heldout_loss"])
    overall = np.stack([steps["step"], steps["heldout_loss"]], axis=1)[is_known]
    rows = [_Domain("all", overall)] if len(by_domain) > 1 else []
    rows += [_Domain(domain or NO_DOMAIN, by_domain[domain]) for domain in order[:MAX_DOMAINS]]
    rest = f"{count(n_more)} domains of lower loss aren't shown." if n_more > 0 else ""
    return (_last_losses(rows) if len(overall) < 2 else _courses(rows)), rest


def _last_losses(rows: list[_Domain]) -> Markup:
    name = Column[_Domain]("domain", lambda row: foreign(row.name))
    return table("Held-out loss by domain", [name, Column("loss", lambda row: value(row.measured[-1, 1], 4))], rows)


def _courses(rows: list[_Domain]) -> Markup:
    said = "Held-out loss by domain; its course after the first fifth of the steps, each on a scale of its own"
    columns = [
        Column[_Domain]("domain", lambda row: foreign(row.name)),
        Column[_Domain]("course", _course, is_text=True),
        Column[_Domain]("best", lambda row: value(row.measured[row.best, 1], 4)),
        Column[_Domain]("at step", lambda row: count(row.measured[row.best, 0])),
        Column[_Domain]("last", lambda row: value(row.measured[-1, 1], 4)),
    ]
    return table(said, columns, rows)


def _course(row: _Domain) -> Markup:
    step, loss = row.measured.T
    is_late = step > EARLY * step[-1]
    x, y = Axis(EARLY * step[-1], float(step[-1])), axis_of(loss[is_late], tails=0.0, margin=0.1)
    places = np.stack(
        [axis.place(part) for axis, part in zip((x, y), thinned(step[is_late], loss[is_late]), strict=True)], 1
    )
    drawn = (
        [path(places, class_="curve heldout"), dot(*places[-1].tolist(), class_="dots heldout")] if len(places) else []
    )
    return Markup('<div class="spark">{}</div>').format(strip(*drawn, label="held-out loss by step"))
