"""The end of the page: stages, recipe, identity and versions, which is what it takes to run this again."""

from collections.abc import Iterator

from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page.markup import Html, element, foreign, table
from raypipe.report.panels.sections import missing, section
from raypipe.report.words import count, duration, listed, moment


def provenance(files: RunFiles) -> Html:
    """The last section."""
    settings = [
        element(
            "details", element("summary", foreign(title)), table(["setting", "value"], flat(content), text_columns=2)
        )
        for title, content in _settings(files)
    ]
    return section("how", "How it was run", _stages(files), settings)


def _stages(files: RunFiles) -> Html:
    if not files.cards:
        return missing("No stage has a card yet.")
    rows = [
        [
            foreign(name),
            foreign(str(card.get("status", "–"))),
            foreign(moment(card.get("times", {}).get("started"))),
            duration(card.get("times", {}).get("wall_s")),
            count(card["counts"]["rows"]) if "rows" in card.get("counts", {}) else "–",
        ]
        for name, card in files.cards.items()
    ]
    return table(["stage", "status", "started", "took", "rows"], rows, caption="Stages", text_columns=3)


def _settings(files: RunFiles) -> Iterator[tuple[str, Json]]:
    if files.run.get("recipe"):
        yield "Recipe as resolved", files.run["recipe"]
    for name, card in files.cards.items():
        for part in ("identity", "running", "versions", "inputs"):
            if isinstance(card.get(part), dict) and card[part]:
                yield f"{name}: {part}", card[part]


def flat(content: Json, above: str = "") -> list[list[Html]]:
    """Nested settings as dotted names and values."""
    rows: list[list[Html]] = []
    for name, entry in content.items():
        if isinstance(entry, dict) and entry:
            rows += flat(entry, f"{above}{name}.")
        else:
            shown = listed([str(item) for item in entry], 12) if isinstance(entry, list) else str(entry)
            rows.append([foreign(f"{above}{name}"), foreign(shown, max_chars=300)])
    return rows
