"""What a classifier shows of itself: decisions on rows that it hadn't learned, radii, TEEN's alpha and tau."""

from typing import Any

from raypipe.report.numbers.read import Json
from raypipe.report.page.cells import pictures
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, fraction, value

Named = tuple[str, Json]
Numbered = tuple[float, list[float]]
WHY_CHARACTERS = 600


def of_shown(found: Json) -> list[Any]:
    """A table for each thing that is shown."""
    tables = [_decisions(found["decisions"])] if found.get("decisions") else []
    tables += [_radii(found["radii"])] if found.get("radii") else []
    return tables + ([_of_teen(found["teen"])] if "harmonic" in found.get("teen", {}) else [])


def lines_of_teen(found: Json) -> list[str]:
    """What was fitted with, and what held-out base classes would choose."""
    if (of := found.get("teen")) is None:
        return []
    said = f"Fitted with alpha {value(of['alpha'])} and tau {value(of['tau'])}"
    if "harmonic" not in of:
        return [f"{said}; {count(of['base_classes'])} classes have enough rows to choose them by, three are needed."]
    scores = {(a, t): of["harmonic"][x][y] for x, a in enumerate(of["alphas"]) for y, t in enumerate(of["taus"])}
    alpha, tau = max(scores, key=lambda one: scores[one])
    best = f"alpha {value(alpha)} and tau {value(tau)} have the highest mean of both accuracies"
    treated = f"with base classes treated as new ones of {count(of['shots'])} rows"
    return [f"{said}; {treated}, {best}, {fraction(scores[alpha, tau])}."]


def _decisions(found: list[Json]) -> Any:
    columns = [
        Column[Json]("row", lambda row: foreign(row["row"], 80), is_text=True),
        Column[Json]("class", lambda row: foreign(row["class"]), is_text=True),
        Column[Json]("answered", lambda row: foreign(row["answer"]), is_text=True),
    ]
    if "radius" in found[0]:
        columns.append(Column("certified radius", lambda row: value(row["radius"])))
    if "why" in found[0]:
        columns.append(Column("because", lambda row: foreign(row["why"], WHY_CHARACTERS), is_text=True))
    if "pictures" in found[0]:
        columns.insert(3, Column("a part, and what it is like", _pictures, is_text=True))
    return table("Decisions on rows that weren't learned, wrong ones first", columns, found)


def _pictures(row: Json) -> str:
    """Its parts beside training parts, the cosine between them, in the order of the words."""
    return pictures([(one["own"], one["like"], f"{one['cosine']:.2f}") for one in row["pictures"]])


def _radii(found: Json) -> Any:
    """How far rows may move without losing their own class."""
    columns = [
        Column[Named]("class", lambda row: foreign(row[0])),
        Column[Named]("rows", lambda row: count(row[1]["n"])),
        *(_quantile(at, part) for at, part in enumerate(found["fractions"])),
    ]
    totals: list[Named] = [("all", found["all"])] if found["all"] else []
    return table("Certified radius for a row's own class; below 0 it is taken for another", columns,
                 found["classes"].items(), totals=totals)  # fmt: skip


def _quantile(at: int, part: float) -> Column[Named]:
    return Column(f"{100 * part:g} %", lambda row: value(row[1]["quantiles"][at]))


def _of_teen(found: Json) -> Any:
    columns = [
        Column[Numbered]("alpha", lambda row: value(row[0])),
        *(_tau(at, tau) for at, tau in enumerate(found["taus"])),
    ]
    rows = list(zip(found["alphas"], found["harmonic"], strict=True))
    return table("Harmonic mean of base and new accuracy by alpha and tau", columns, rows)


def _tau(at: int, tau: float) -> Column[Numbered]:
    return Column(f"tau {tau:g}", lambda row: fraction(row[1][at]))
