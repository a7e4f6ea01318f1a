"""A run folder as tables for the terminal: its state while it lasts, and what came out.

Names of domains, stages and reasons go through `terminal_text`, and into `Text`, never into rich's markup.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raypipe.report.escape import terminal_text
from raypipe.report.numbers.checks import findings
from raypipe.report.numbers.measures import medians
from raypipe.report.numbers.read import Json, RunFiles, list_run
from raypipe.report.numbers.run_numbers import Numbers, gather_numbers
from raypipe.report.words import count, duration, fraction, value
from raypipe.runs.lock import is_abandoned
from raypipe.storage.folder import Folder

STYLES = {"finished": "green", "running": "cyan", "incomplete": "bold red", "failed": "bold red"}
REPORT = "report.html"
SILENT_S = 120.0
"""Progress is written every few seconds; a longer silence deserves a word."""

STATUS_NUMBERS = ("shards", "rows", "scored", "skipped", "tokens", "tok/s", "padding", "time", "set aside")


def status(run: Folder, *, at: datetime | None = None) -> RenderableType:
    """The state of a run, live or finished: its stages, what is set aside, and where the report is.

    `at`, the time to judge a live run by, defaults to now: a run that was killed still says that it runs.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    files = list_run(run)
    arms = [arm.removeprefix("selection-") for arm in _control_arms(files)]
    beside = [_text(f"Control arms: {', '.join(arms)}")] if arms else []
    at = at or datetime.now(UTC)
    return Group(
        _stage_table(files, at), *beside, *_silence(files, at), *_why(files), *_set_aside(files), *_warnings(files),
        _where(files),
    )  # fmt: skip


def _stage_table(files: RunFiles, at: datetime) -> Table:
    """A row for each stage; columns that no stage fills are left out, so that it fits a small terminal."""
    figures = {stage: list(_figures(files.cards.get(stage, {}), _live(files, stage, at))) for stage in _stages(files)}
    filled = [i for i in range(len(STATUS_NUMBERS)) if any(cells[i].plain != "–" for cells in figures.values())]
    title = f"{files.name}: {files.run.get('status', 'unknown')}"
    table = _table(title, ["stage", "status"], [STATUS_NUMBERS[i] for i in filled])
    for stage, cells in figures.items():
        table.add_row(_text(stage), _state(_stage_status(files, stage)), *(cells[i] for i in filled))
    return table


def _live(files: RunFiles, stage: str, at: datetime) -> Json:
    """The last progress of a stage that isn't finished; what is left is told only while it goes on."""
    status = files.cards.get(stage, {}).get("status", files.run.get("status"))
    if files.now.get("stage") != stage or status == "finished":
        return {}
    goes_on = status == "running" and files.run.get("status") == "running" and _silent_s(files, at) <= SILENT_S
    return files.now if goes_on else {name: value for name, value in files.now.items() if name != "eta_s"}


def is_finished(run: Folder) -> bool:
    """Whether nothing more will happen in the run by itself: it has ended, has given up or was killed."""
    files = list_run(run)
    said = [files.run["status"]] if "status" in files.run else [card.get("status") for card in files.cards.values()]
    return (bool(said) and "running" not in said) or is_abandoned(run)


def _stages(files: RunFiles) -> list[str]:
    order = [str(stage) for stage in files.run.get("stages", [])]
    seen = dict.fromkeys([*order, *(["heads"] if files.heads else []), *files.cards, *files.tables])
    return [stage for stage in seen if stage not in _control_arms(files)]


def _control_arms(files: RunFiles) -> list[str]:
    """Arms beside `selection` that stand where it stands: a line below the table says them in less room."""
    state = _stage_status(files, "selection")
    arms = [arm for arm in files.arms if arm.startswith("selection-")]
    return [arm for arm in arms if _stage_status(files, arm) == state and not files.cards.get(arm, {}).get("set_aside")]


def _stage_status(files: RunFiles, stage: str) -> str:
    if stage == "heads" and files.heads:
        checks = [record.get("causal_check", {}).get("passed") for record in files.heads.values()]
        return "finished" if all(checks) else "finished, weak"
    card = files.cards.get(stage, {})
    return str(card.get("status", "running" if files.now.get("stage") == stage else "not begun"))


def _figures(card: Json, live: Json) -> Iterator[Text]:
    """The cells of `STATUS_NUMBERS`: from the card where it knows, else from progress."""
    counts, times = card.get("counts", {}), card.get("times", {})
    skipped = counts.get("skipped")
    yield _text(f"{count(live['shards_done'])}/{count(live['shards'])}" if "shards_done" in live else "–")
    yield _number(live.get("rows", counts.get("rows")))
    yield _number(counts.get("scored"))
    yield _number(sum(skipped.values()) if isinstance(skipped, dict) else skipped)
    yield _number(live.get("tokens", counts.get("tokens")))
    yield _number(live.get("tokens_per_s", times.get("tokens_per_s")))
    padding = live.get("padding_fraction", counts.get("padding_fraction"))
    yield _text(fraction(padding) if padding is not None else "–")
    yield _text(f"{duration(live['eta_s'])} left" if live.get("eta_s") is not None else duration(times.get("wall_s")))
    yield _number(len(card.get("set_aside", {})) or None)


def _silence(files: RunFiles, at: datetime) -> Iterator[Text]:
    """How long ago a run that says it runs last wrote its progress."""
    if files.run.get("status") != "running" or not files.now.get("time"):
        return
    silent_s = _silent_s(files, at)
    lost = silent_s > SILENT_S
    remedy = "; if its process is gone, the same command goes on" if lost else ""
    yield _text(f"Last progress {duration(max(silent_s, 0))} ago{remedy}.", style="yellow" if lost else "dim")


def _silent_s(files: RunFiles, at: datetime) -> float:
    """Seconds since the last progress; 0 where there was none."""
    last = files.now.get("time")
    return (at - datetime.fromisoformat(str(last))).total_seconds() if last else 0.0


def _why(files: RunFiles) -> Iterator[Text]:
    """Why the last job, and each stage, ended other than finished."""
    said = {"": files.run.get("why"), **{f"{stage}: ": card.get("why") for stage, card in files.cards.items()}}
    whys = {str(why): where for where, why in reversed(said.items()) if why}
    yield from (_text(f"▲ {where}{why}", style="red", max_chars=600) for why, where in reversed(whys.items()))


def _set_aside(files: RunFiles) -> Iterator[Text]:
    for stage, card in files.cards.items():
        for shard, reason in list(card.get("set_aside", {}).items())[:10]:
            yield _text(f"▲ {stage}: shard {shard} was set aside: {reason}", style="red")
        if (n_more := len(card.get("set_aside", {})) - 10) > 0:
            yield _text(f"▲ {stage}: {n_more} more, see {stage}/card.json", style="red")


def _warnings(files: RunFiles) -> Iterator[Text]:
    for stage, card in files.cards.items():
        yield from (_text(f"▲ {stage}: {warning}", style="yellow") for warning in card.get("warnings", [])[:10])


def _where(files: RunFiles) -> Text:
    where = f"{files.folder.uri}/{REPORT}" if files.has_report else "none yet"
    return Text(f"Report: {terminal_text(where, max_chars=1000)}", overflow="fold")


def summary(run: Folder) -> RenderableType:
    """What came out of a run: by domain, in all, and what speaks against it.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    return summary_of(gather_numbers(run))


def summary_of(numbers: Numbers) -> RenderableType:
    """`summary` of numbers that are gathered already."""
    if numbers.rows.is_empty:
        return Text("Nothing is scored yet.")
    loud = [finding for finding in findings(numbers) if finding.level == "warning"]
    said = [_text(f"▲ {finding.title}. {finding.detail}", style="yellow", max_chars=600) for finding in loud]
    checked = Text("" if loud else "✓ Every check passed; the report lists them.", style="green")
    return Group(_domains(numbers), _in_all(numbers), *said, *([] if loud else [checked]))


def _domains(numbers: Numbers) -> Table:
    rows = numbers.rows
    headers = ["rows", "scored", f"median {rows.scored_by.name}"]
    if rows.arms:
        headers += ["selected", "of its tokens", "of selection"]
    table = _table(f"{numbers.files.name}: by domain", ["domain"], headers)
    median = medians(rows.kept["score"], list(numbers.groups))
    for number in numbers.shown:
        shown = value(float(median[number]))
        table.add_row(_text(rows.domains[number]), *_row_cells(numbers, [number], shown))
    everything = list(range(len(rows.domains)))
    if len(everything) > len(numbers.shown):
        rest = sorted(set(everything) - set(numbers.shown))
        table.add_row(f"{count(len(rest))} smaller", *_row_cells(numbers, rest))
    table.add_section()
    table.add_row("all", *_row_cells(numbers, everything), style="bold")
    return table


def _row_cells(numbers: Numbers, domains: list[int], median: str = "") -> list[Text]:
    counts = numbers.rows.counts
    n_rows, n_scored = counts["rows"][domains].sum(), counts["scored"][domains].sum()
    return [_number(n_rows), _number(n_scored), _text(median), *_selected_cells(numbers, domains)]


def _selected_cells(numbers: Numbers, domains: list[int]) -> list[Text]:
    rows = numbers.rows
    if not rows.arms:
        return []
    documents, tokens = rows.arm_documents[0][domains].sum(), rows.arm_tokens[0][domains].sum()
    of_its_own = fraction(tokens / max(rows.counts["tokens_total"][domains].sum(), 1))
    return [_number(documents), _text(of_its_own), _text(fraction(tokens / max(rows.arm_tokens[0].sum(), 1)))]


def _in_all(numbers: Numbers) -> Text:
    rows, card = numbers.rows, numbers.files.scores_card
    times, padding = card.get("times", {}), card.get("counts", {}).get("padding_fraction")
    n_rows, n_scored = rows.counts["rows"].sum(), rows.counts["scored"].sum()
    parts = [
        f"{count(n_rows)} rows = {count(n_scored)} scored + {count(sum(rows.reasons.values()))} skipped",
        f"{count(rows.counts['tokens'].sum())} tokens",
        f"{count(times['tokens_per_s'])} tokens/s" if times.get("tokens_per_s") is not None else "",
        f"{fraction(padding)} padding" if padding is not None else "",
        f"{duration(times['wall_s'])}, {duration(times.get('start_up_s'))} of it start-up" if "wall_s" in times else "",
    ]
    return _text("; ".join(part for part in parts if part), max_chars=500)


def _table(title: str, names: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(
        title=_text(title, style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for name in names:
        table.add_column(name, overflow="fold", max_width=40, min_width=8)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _text(text: str, *, style: str = "", max_chars: int = 200) -> Text:
    return Text(terminal_text(text, max_chars=max_chars), style=style)


def _number(n: float | None) -> Text:
    return Text("–" if n is None else count(n))


def _state(state: str) -> Text:
    return _text(state, style=STYLES.get(state.split(",")[0], "dim"))
