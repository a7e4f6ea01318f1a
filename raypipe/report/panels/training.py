"""How models were trained: figures and curves of every training stage, from its card and its metrics files."""

from collections.abc import Iterator

import numpy as np

from raypipe.report.charts.axis import Axis, axis_of, shapes, tick_label
from raypipe.report.charts.curves import measured, noisy, panel, smooth
from raypipe.report.numbers.gather import NO_DOMAIN
from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.numbers.steps import Steps, read_steps
from raypipe.report.page.markup import Html, element, foreign, table
from raypipe.report.panels.sections import caption, missing, section
from raypipe.report.words import count, duration, fraction, size, value

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


def training(files: RunFiles) -> Html:
    """The section of all training stages of the run. Raises what `read_steps` raises."""
    key = element("p", [element("span", element("i", class_=sign), said) for sign, said in KEY], class_="key")
    stages = [_stage(stage, files.cards[stage], read_steps(files, stage)) for stage in files.training]
    return section("training", "Training", element("p", SAID), key, stages)


def _stage(stage: str, card: Json, steps: Steps) -> Html:
    status = str(card.get("status", "unknown"))
    sign = element("span", foreign(status), class_="strong" if status == "incomplete" else None)
    title = element("h3", foreign(stage), " · ", sign)
    if not len(steps):
        return element("div", title, missing("No step is written down yet: that happens with each checkpoint."))
    tiles = [
        element("div", element("dt", name), element("dd", figure), element("dd", note, class_="small"))
        for name, figure, note in [*_progress_tiles(card, steps), *_speed_tiles(steps)]
    ]
    return element("div", title, element("dl", tiles, class_="tiles"), _panels(steps), _domains(steps), class_="stage")


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


def _speed_tiles(steps: Steps) -> Iterator[tuple[str, str, str]]:
    if len(speed := steps.known("tokens_per_s")):
        yield "tokens per second", count(float(np.median(speed))), "median of the steps"
    if len(mfu := steps.known("mfu")):
        yield "share of peak (MFU)", fraction(float(np.median(mfu))), "median of the steps"
    if (seconds := float(np.nansum(steps["step_s"]))) > 0:
        waited = float(np.nansum(steps["data_wait_s"]))
        yield "waiting for data", fraction(waited / seconds), f"{duration(waited)} in all"
    if len(memory := steps.known("memory_bytes")):
        yield "peak memory", size(float(memory.max())), "of the first worker"


def _panels(steps: Steps) -> Html:
    if len(steps) < 2:
        return caption("Curves begin with the second step.")
    x = Axis(0, float(steps["step"][-1]))
    drawn = [*_losses(x, steps), *_optimiser_panels(x, steps), *_speed_panels(x, steps)]
    return element("div", drawn, class_="panels curves")


def _losses(x: Axis, steps: Steps) -> Iterator[Html]:
    """The loss of all steps, and once more of those after the early ones, on a scale of their own."""
    yield _loss(x, steps, np.ones(len(steps), bool), name="loss")
    is_late = steps["step"] > EARLY * x.high
    if is_late.sum() >= MIN_LATE:
        late = Axis(EARLY * x.high, x.high)
        yield _loss(late, steps, is_late, name="loss after the first fifth")


def _loss(x: Axis, steps: Steps, is_shown: np.ndarray, *, name: str) -> Html:
    step, loss, heldout = (steps[quantity][is_shown] for quantity in ("step", "loss", "heldout_loss"))
    trained = axis_of(loss)
    # Held-out points are few: the share in a tail that the axis leaves out could be all of them.
    known = heldout[np.isfinite(heldout)]
    y = Axis(float(min([trained.low, *known])), float(max([trained.high, *known])))
    return panel(x, y, noisy(x, y, step, loss) + measured(x, y, step, heldout, class_="heldout"), name=name)


def _optimiser_panels(x: Axis, steps: Steps) -> Iterator[Html]:
    if len(rate := steps.known("learning_rate")):
        y, peak = _from_zero(rate), f"peak {tick_label(float(f'{rate.max():.2e}'))}"
        yield panel(x, y, smooth(x, y, steps["step"], steps["learning_rate"]), name="learning rate", figure=peak)
    if len(norm := steps.known("gradient_norm")):
        y, median = axis_of(norm, is_log=True, tails=0.0), f"median {value(float(np.median(norm)))}"
        yield panel(x, y, noisy(x, y, steps["step"], steps["gradient_norm"]), name="gradient norm", figure=median)


def _speed_panels(x: Axis, steps: Steps) -> Iterator[Html]:
    with np.errstate(divide="ignore", invalid="ignore"):  # a step of no measured length has no share
        wait = 100 * steps["data_wait_s"] / steps["step_s"]
    for name, values, floor in (
        ("tokens per second", steps["tokens_per_s"], 0.0),
        ("MFU, %", 100 * steps["mfu"], 0.0),
        ("waiting for data, %", wait, WAIT_FLOOR),
    ):
        if np.isfinite(values).any():
            y = _from_zero(values, floor=floor)
            yield panel(x, y, noisy(x, y, steps["step"], values), name=name)
    gibibytes = steps["memory_bytes"] / 2**30
    if np.isfinite(gibibytes).any():
        y = _from_zero(gibibytes)
        yield panel(x, y, smooth(x, y, steps["step"], gibibytes), name="peak memory, GiB")


def _from_zero(values: np.ndarray, *, floor: float = 0.0) -> Axis:
    """A linear axis from 0 to a little above the highest value."""
    highest = float(values[np.isfinite(values)].max())
    return Axis(0, max(1.1 * highest, floor) or 1.0)


def _domains(steps: Steps) -> Html:
    """Held-out loss of each domain, the highest first; its course too, where it was measured more than once."""
    by_domain = steps.heldout_by_domain
    if not by_domain:
        return missing("No held-out loss was measured.")
    order = sorted(by_domain, key=lambda domain: -by_domain[domain][-1, 1])
    shown, n_more = order[:MAX_DOMAINS], len(order) - MAX_DOMAINS
    rest = [caption(f"{count(n_more)} domains of lower loss aren't shown.")] if n_more > 0 else []
    is_known = np.isfinite(steps["heldout_loss"])
    overall = np.stack([steps["step"], steps["heldout_loss"]], axis=1)[is_known]
    together = [("all", overall)] if len(by_domain) > 1 else []
    entries = [*together, *((foreign(domain or NO_DOMAIN), by_domain[domain]) for domain in shown)]
    if len(overall) < 2:
        rows = [[name, value(measurements[-1, 1], 4)] for name, measurements in entries]
        return element("div", table(["domain", "loss"], rows, caption="Held-out loss by domain"), rest, class_="narrow")
    said = "Held-out loss by domain; its course after the first fifth of the steps, each on a scale of its own"
    headers = ["domain", "course", "best", "at step", "last"]
    courses = [_course(name, measurements) for name, measurements in entries]
    return element("div", table(headers, courses, caption=said, text_columns=2), rest)


def _course(name: str, measurements: np.ndarray) -> list[str]:
    step, loss = measurements.T
    is_late = step > EARLY * step[-1]
    x, y = Axis(EARLY * step[-1], float(step[-1])), axis_of(loss[is_late], tails=0.0, margin=0.1)
    curve = measured(x, y, step[is_late], loss[is_late], class_="heldout", n_dots=1)
    best = int(np.argmin(loss))
    figures = [value(loss[best], 4), count(step[best]), value(loss[-1], 4)]
    return [name, element("div", shapes(*curve, label="held-out loss by step"), class_="spark"), *figures]
