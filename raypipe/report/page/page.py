"""The page: head, contents and sections in one file that fetches nothing."""

from importlib.resources import files as package_files

from raypipe.report.numbers.excerpts import Excerpt
from raypipe.report.numbers.read import RunFiles
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign
from raypipe.report.panels import sections
from raypipe.report.panels.documents import documents
from raypipe.report.panels.overview import overview
from raypipe.report.panels.provenance import provenance
from raypipe.report.panels.training import training
from raypipe.report.words import listed, moment

# No script runs at all, whatever a document managed to say; nothing is fetched, framed or sent.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> str:
    """The whole report as HTML."""
    name = numbers.files.name
    css = package_files("raypipe.report.page").joinpath("style.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="referrer", content="no-referrer"),
        element("title", f"{name} · raypipe report"),
        element("style", Html(css)),
    )
    return "<!doctype html>\n" + element(
        "html", head, element("body", element("main", _body(numbers, chosen))), lang="en"
    )


def _body(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> list[Html]:
    files = numbers.files
    parts = [] if files.is_only_training else _scoring(numbers, chosen)
    if files.training:
        parts.append(("training", "Training", training(files)))
    parts.append(("how", "How it was run", provenance(files)))
    links = [element("a", title, href=f"#{anchor}") for anchor, title, _ in parts]
    return [_top(files), element("nav", links, aria_label="Contents"), *(drawn for _, _, drawn in parts)]


def _scoring(numbers: Numbers, chosen: dict[int, dict[str, list[Excerpt]]]) -> list[tuple[str, str, Html]]:
    return [
        ("summary", "Summary", overview(numbers)),
        ("score", "By domain", sections.scores(numbers)),
        ("baselines", "What it follows", sections.baselines(numbers)),
        ("heads", "Heads", sections.heads(numbers)),
        ("selection", "Selection", sections.selection(numbers)),
        ("documents", "Documents", documents(numbers, chosen)),
        ("rows", "Rows and throughput", sections.accounting(numbers)),
    ]


def _top(files: RunFiles) -> Html:
    facts = _training_facts(files) if files.is_only_training else _scoring_facts(files)
    said = [
        element("span", element("small", name), " ", foreign(str(fact), max_chars=60))
        for name, fact in facts
        if fact not in (None, "", 0)
    ]
    status = _status(files)
    pill = element("span", foreign(status), class_="pill" if status == "finished" else "pill loud")
    title = element("h1", foreign(files.name, max_chars=120), " ", pill)
    return element(
        "header",
        title,
        element("p", foreign(files.folder.uri, max_chars=160), class_="where"),
        element("p", said, class_="facts"),
    )


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


def _training_facts(files: RunFiles) -> list[tuple[str, object]]:
    cards = [files.cards[stage] for stage in files.training]
    begun = [str(card["times"]["started"]) for card in cards if card.get("times", {}).get("started")]
    versions = {str(card.get("versions", {}).get("raypipe", "")) for card in cards}
    return [
        ("stages", listed(files.training, 4)),
        ("begun", moment(min(begun, default=None))),
        ("raypipe", listed(sorted(versions), 4)),
    ]


def _status(files: RunFiles) -> str:
    """The run's status; where nothing but training made it, that of the first stage that isn't finished."""
    if "status" in files.run or not files.is_only_training:
        return str(files.run.get("status", "unknown"))
    said = [str(files.cards[stage].get("status", "unknown")) for stage in files.training]
    return next((status for status in said if status != "finished"), "finished")
