"""What the rules of a selection dropped: each rule, its rows, those that it alone or first dropped, the reasons."""

from markupsafe import Markup

from raypipe.report.numbers.read import Json, RunFiles
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, fraction

STAGE = "rules"


def rules(files: RunFiles) -> Panel:
    """How many rows the rules of the selection keep, and what each of them dropped."""
    found = drops(files)
    return panel(
        "rules", "Rules", "rules.html",
        table=rules_table(found), kept=count(found["kept"]), rows=count(found["rows"]),
        share=fraction(found["kept"] / max(found["rows"], 1)),
    )  # fmt: skip


def drops(files: RunFiles) -> Json:
    """What the rules dropped, as their card has it; empty without rules, or where they are of another selection."""
    card, selection = files.cards.get(STAGE, {}), files.cards.get("selection", {})
    is_current = card.get("status") == "finished" and card.get("identity") == selection.get("identity")
    return dict(card.get("rules", {})) if is_current else {}


def rules_table(found: Json) -> Markup:
    """A row a rule, in the order in which they are asked, and what all of them dropped."""
    n, each = max(found["rows"], 1), found["rules"]
    n_dropped, n_alone = found["rows"] - found["kept"], sum(one["alone"] for one in each)
    has_first = all("first" in one for one in each)  # older cards have none
    total = {"rule": "any of them", "dropped": n_dropped, "alone": n_alone, "first": n_dropped}
    columns = [
        Column[Json]("rule", lambda row: foreign(row["rule"], 160)),
        Column[Json]("rows dropped", lambda row: cells.bar(row["dropped"], n_dropped, count(row["dropped"]))),
        Column[Json]("of scored rows", lambda row: fraction(row["dropped"] / n)),
        Column[Json]("by it alone", lambda row: count(row["alone"])),
        *([Column[Json]("first reason of", lambda row: count(row["first"]))] if has_first else []),
    ]
    return table("What each rule drops", columns, each, totals=[total])
