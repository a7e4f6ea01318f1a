"""A run folder as tables for the terminal: its state while it lasts, and what came out.

Names of domains, stages and reasons go through `terminal_text`, and into `Text`, never into rich's markup.
"""

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raypipe.report.checks import findings
from raypipe.report.escape import terminal_text
from raypipe.report.measures import medians
from raypipe.report.read import Json, RunFiles, list_run
from raypipe.report.run_numbers import Numbers, gather_numbers
from raypipe.report.words import count, duration, fraction, value
from raypipe.storage import Folder

STYLES = {"finished": "green", "running": "cyan", "incomplete": "bold red"}
REPORT = "report.html"
STATUS_NUMBERS = ("shards", "rows", "scored", "skipped", "tokens", "tokens/s", "padding", "took", "left", "set aside")


def status(run: Folder) -> RenderableType:
    """The state of a run, live or finished: its stages, what is set aside, and where the report is.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    files = list_run(run)
    return Group(_stage_table(files), *_set_aside(files), *_warnings(files), _where(files))


def _stage_table(files: RunFiles) -> Table:
    """A row for each stage; columns that no stage fills are left out, so that it fits a small terminal."""
    figures = {stage: list(_figures(files.cards.get(stage, {}), _live(files, stage))) for stage in _stages(files)}
    filled = [i for i in range(len(STATUS_NUMBERS)) if any(cells[i].plain != "–" for cells in figures.values())]
    title = f"{files.name}: {files.run.get('status', 'unknown')}"
    table = _table(title, ["stage", "status"], [STATUS_NUMBERS[i] for i in filled])
    for stage, cells in figures.items():
        table.add_row(_text(stage), _state(_stage_status(files, stage)), *(cells[i] for i in filled))
    return table


def _live(files: RunFiles, stage: str) -> Json:
    """The last progress of a stage that isn't finished."""
    is_live = files.now.get("stage") == stage and files.cards.get(stage, {}).get("status") != "finished"
    return files.now if is_live else {}


def is_finished(run: Folder) -> bool:
    """Whether nothing more will happen in the run by itself: it is finished or has given up."""
    return list_run(run).run.get("status") in ("finished", "incomplete")


def _stages(files: RunFiles) -> list[str]:
    order = [str(stage) for stage in files.run.get("stages", [])]
    seen = [*order, *(["heads"] if files.heads else []), *files.cards, *files.tables]
    return list(dict.fromkeys(seen))


def _stage_status(files: RunFiles, stage: str) -> str:
    if stage == "heads" and files.heads:
        checks = [record.get("causal_check", {}).get("passed") for record in files.heads.values()]
        return "finished" if all(checks) else "finished, weak"
    card = files.cards.get(stage, {})
    return str(card.get("status", "running" if files.now.get("stage") == stage else "not begun"))


def _figures(card: Json, live: Json) -> Iterator[Text]:
    """The cells of `STATUS_NUMBERS`: from the card where it knows, else from progress."""
    counts, times = card.get("counts", {}), card.get("times", {})
    n_shards = live.get("shards") or counts.get("shards")
    done = f"{count(live['shards_done'])} of " if "shards_done" in live else ""
    skipped = counts.get("skipped")
    yield _text(done + count(n_shards) if n_shards is not None else "–")
    yield _number(live.get("rows", counts.get("rows")))
    yield _number(counts.get("scored"))
    yield _number(sum(skipped.values()) if isinstance(skipped, dict) else skipped)
    yield _number(live.get("tokens", counts.get("tokens")))
    yield _number(live.get("tokens_per_s", times.get("tokens_per_s")))
    padding = live.get("padding_fraction", counts.get("padding_fraction"))
    yield _text(fraction(padding) if padding is not None else "–")
    yield _text(duration(times.get("wall_s")))
    yield _text(duration(live.get("eta_s")))
    yield _number(len(card.get("set_aside", {})) or None)


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
    headers = ["rows", "scored", f"median {rows.score_name}"]
    if rows.arms:
        headers += ["selected", "of its tokens", "of all selected tokens"]
    table = _table(f"{numbers.files.name}: by domain", ["domain"], headers)
    median = medians(rows.kept[rows.score_name], list(numbers.groups))
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
    table = Table(title=_text(title, style="bold"), box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", max_width=40)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _text(text: str, *, style: str = "", max_chars: int = 200) -> Text:
    return Text(terminal_text(text, max_chars=max_chars), style=style)


def _number(n: float | None) -> Text:
    return Text("–" if n is None else count(n))


def _state(state: str) -> Text:
    return _text(state, style=STYLES.get(state.split(",")[0], "dim"))
