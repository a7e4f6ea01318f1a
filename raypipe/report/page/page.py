"""The page: head, contents and panels in one file that fetches nothing."""

from importlib.resources import files as package_files

from markupsafe import Markup

from raypipe.report.numbers.excerpts import Excerpt
from raypipe.report.numbers.join import place
from raypipe.report.numbers.read import RunFiles
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.panel import Panel
from raypipe.report.page.render import render
from raypipe.report.panels.ablation import ablation
from raypipe.report.panels.documents import documents
from raypipe.report.panels.evaluation import evaluation
from raypipe.report.panels.follows import follows
from raypipe.report.panels.heads import heads
from raypipe.report.panels.how import how
from raypipe.report.panels.rows import rows
from raypipe.report.panels.rules import drops, rules
from raypipe.report.panels.scores import scores
from raypipe.report.panels.search import search
from raypipe.report.panels.selection import selection
from raypipe.report.panels.study import study
from raypipe.report.panels.summary import summary
from raypipe.report.panels.training import training
from raypipe.report.words import listed, moment

# No script runs at all, whatever a document managed to say; nothing is fetched, framed or sent; pictures are within.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> str:
    """The whole report as HTML."""
    files = numbers.files
    facts = _scoring_facts(files) if files.is_scoring else _other_facts(files)
    return render(
        "page.html",
        policy=POLICY,
        css=Markup(package_files("raypipe.report.page").joinpath("style.css").read_text("utf-8")),
        name=files.name,
        where=place(files.folder.uri),
        status=_status(files),
        facts=[(title, str(fact)) for title, fact in facts if fact not in (None, "", 0)],
        panels=_panels(numbers, chosen),
    )


def _panels(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> list[Panel]:
    files = numbers.files
    found: list[Panel] = []
    if files.is_scoring:
        found += [summary(numbers), *([ablation(files)] if files.ablations else [])]
        found += [part(numbers) for part in (scores, follows, heads, selection)]
        found += [*([rules(files)] if drops(files) else []), documents(numbers, chosen), rows(numbers)]
    elif files.ablations:
        found += [ablation(files)]
    found += [study(files)] if files.studies else []
    found += [search(files)] if files.searches else []
    found += [training(files)] if files.training else []
    found += [evaluation(files)] if files.evaluations else []
    return [*found, how(files)]


def _scoring_facts(files: RunFiles) -> list[tuple[str, object]]:
    identity = files.scores_card.get("identity", {})
    return [
        ("model", files.model),
        ("scorers", listed(identity.get("scorers", []), 4)),
        ("heads neutralised", len(identity.get("heads") or [])),
        ("tokens at most", identity.get("max_tokens")),
        ("number format", identity.get("dtype")),
        ("begun", moment(files.run.get("created"))),
        ("raypipe", files.run.get("raypipe")),
    ]


def _other_facts(files: RunFiles) -> list[tuple[str, object]]:
    cards = list(files.cards.values())
    begun = [str(card["times"]["started"]) for card in cards if card.get("times", {}).get("started")]
    versions = {str(card.get("versions", {}).get("raypipe", "")) for card in cards} - {""}
    return [
        ("stages", listed(sorted(files.cards), 4)),
        ("begun", moment(min(begun, default=None)) if begun else None),
        ("raypipe", listed(sorted(versions), 4)),
    ]


def _status(files: RunFiles) -> str:
    """The run's status; where there is no run file, that of the first stage that isn't finished."""
    if "status" in files.run or files.is_scoring:
        return str(files.run.get("status", "unknown"))
    said = [str(card.get("status", "unknown")) for card in files.cards.values()]
    return next((status for status in said if status != "finished"), "finished")
