"""The end of the page: stages, files, recipe, identity and versions, which is what it takes to run this again."""

from collections.abc import Iterator
from urllib.parse import quote

from markupsafe import Markup

from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import cost, count, duration, listed, moment

Stage = tuple[str, Json]
Setting = tuple[str, str]


def how(files: RunFiles) -> Panel:
    """The last panel."""
    settings = [(title, settings_table(title, content)) for title, content in _settings(files)]
    return panel(
        "how", "How it was run", "how.html",
        stages=stages_table(files) if files.cards else None,
        files=[(name, f"./{quote(name)}") for name in files.records], settings=settings,
    )  # fmt: skip


def stages_table(files: RunFiles) -> Markup:
    """Each stage with its state, its time and what it cost."""
    columns = [
        Column[Stage]("stage", lambda row: foreign(row[0])),
        Column[Stage]("status", lambda row: foreign(row[1].get("status", "–")), is_text=True),
        Column[Stage]("started", lambda row: foreign(moment(row[1].get("times", {}).get("started"))), is_text=True),
        Column[Stage]("took", lambda row: duration(row[1].get("times", {}).get("wall_s"))),
        Column[Stage]("device-hours", lambda row: _spent(row[1])),
        Column[Stage](
            "rows", lambda row: count(row[1]["counts"]["rows"]) if "rows" in row[1].get("counts", {}) else "–"
        ),
    ]
    return table("Stages", columns, files.cards.items())


def _spent(card: Json) -> str:
    busy_s = card.get("times", {}).get("busy_s")
    return "–" if busy_s is None else cost(busy_s)


def settings_table(title: str, content: Json) -> Markup:
    """Settings by their dotted names."""
    columns = [
        Column[Setting]("setting", lambda row: foreign(row[0])),
        Column[Setting]("value", lambda row: foreign(row[1], 300), is_text=True),
    ]
    return table(title, columns, flat(content))


def _settings(files: RunFiles) -> Iterator[tuple[str, Json]]:
    if files.run.get("recipe"):
        yield "Recipe as resolved", files.run["recipe"]
    for name, card in files.cards.items():
        for part in ("identity", "running", "versions", "inputs"):
            if isinstance(card.get(part), dict) and card[part]:
                yield f"{name}: {part}", card[part]


def flat(content: Json, above: str = "") -> list[Setting]:
    """Nested settings as dotted names and values."""
    rows: list[Setting] = []
    for name, entry in content.items():
        if isinstance(entry, dict) and entry:
            rows += flat(entry, f"{above}{name}.")
        else:
            rows.append(
                (f"{above}{name}", listed([str(item) for item in entry], 12) if isinstance(entry, list) else str(entry))
            )
    return rows
