"""The README.md of a mix as a dataset of Hugging Face: what it holds, whence it came, its licences, how it was chosen.

The head, YAML, is what the `datasets` library and the hub read (huggingface.co/docs/hub/datasets-cards); the rest is
for people. It follows from the cards alone, without a time, so that the same export gives the same bytes. Of a path on
this machine it tells the last name only: the folder is made to be given away.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from raypipe.runs.card import Json
from raypipe.select.export.licences import LICENCE, UNKNOWN

README = "README.md"
MAX_DOMAINS = 200
"""Domains that have a row of their own in the table; the others share one. Of licences as many."""
MAX_NAMED = 5
"""Licences of one domain that are named."""
_OTHER = "other"
"""What the hub calls a licence that its list lacks."""
_ON_HUB = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_CAUTION = (
    f"Licences are those that the export was told; where one is {UNKNOWN!r}, whoever passes the text on must find out."
)
_MAX_LIST = 50
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
_COLUMNS = (
    ("id", "string", "the document's name in its source"),
    ("domain", "string", "the domain that it was ranked in"),
    ("text", "string", "the document"),
    ("weight", "float32", "how often to show it"),
    ("rank", "float64", "in its domain; 1 is the best, null: it wasn't ranked"),
    ("score", "float64", "what it was ranked by; more is better"),
    ("source_path", "string", "the file it was read from"),
    ("source_row", "int64", "and its row there"),
)
_LICENCE_COLUMN = (LICENCE.name, "string", f"its own licence; {UNKNOWN}: its source names none")


def licences_of(given: Sequence[str]) -> dict[str, str]:
    """`DOMAIN=LICENCE` or `LICENCE` (of all domains without their own, by the name "") as licences by domain.

    Raises
    ------
    ValueError
        If one is empty, or a domain has two.
    """
    found: dict[str, str] = {}
    for one in given:
        domain, _, licence = one.rpartition("=")
        if not licence.strip() or one.startswith("="):
            raise ValueError(f"licences must be LICENCE or DOMAIN=LICENCE, such as web=odc-by, got {one!r}.")
        if found.setdefault(domain, licence) != licence:
            raise ValueError(f"licences must give a domain one licence, got {found[domain]!r} and {one!r}.")
    return found


def dataset_card(
    *,
    name: str,
    domains: Mapping[str, Sequence[int]],
    licences: Mapping[str, str],
    card: Json,
    inputs: Sequence[str],
    of_rows: Sequence[Sequence[Any]] | None = None,
) -> str:
    """The README of an export.

    Parameters
    ----------
    domains
        [documents, bytes of text] by domain, as written
    card
        Of the export, with its identity and versions
    inputs
        The sources that were read
    of_rows
        [licence, domain, documents, bytes of text], where rows have licences of their own; None: domains have
    """
    n_rows, n_bytes = (sum(counts[place] for counts in domains.values()) for place in (0, 1))
    found = _by_licence(of_rows, licences) if of_rows is not None else {}
    of_domain = {domain: _licence(domain, licences) for domain in domains}
    if of_rows is not None:
        of_domain = {domain: _named([one for one in found if domain in found[one]]) for domain in domains}
    parts = [
        f"---\n{_head(sorted(found or {*of_domain.values()}), n_rows)}---",
        f"# {_cell(name)}",
        f"{n_rows:,} documents, {n_bytes:,} bytes of text, chosen by raypipe {card['versions']['raypipe']}.",
        f"## Where the text is from\n\n{_table(domains, of_domain, n_rows, n_bytes)}",
        *([f"## Licences\n\n{_licence_table(found)}"] if of_rows is not None else []),
        f"{_sources(inputs)}{_CAUTION}",
        "## Columns\n\n| column | type | what it is |\n|---|---|---|\n"
        + "\n".join(
            f"| `{column}` | {kind} | {what} |"
            for column, kind, what in (*_COLUMNS, *([_LICENCE_COLUMN] if of_rows is not None else []))
        ),
        f"## How it was chosen\n\n{_block(card['identity'])}",
    ]
    return "\n\n".join(parts) + "\n"


def _by_licence(of_rows: Sequence[Sequence[Any]], licences: Mapping[str, str]) -> dict[str, dict[str, list[int]]]:
    """Licence -> domain -> [documents, bytes]; a row without one has that which its domain was given."""
    found: dict[str, dict[str, list[int]]] = {}
    for licence, domain, n_rows, n_bytes in of_rows:
        name = _licence(domain, licences) if licence == UNKNOWN else licence
        before = found.setdefault(name, {}).setdefault(domain, [0, 0])
        before[0] += n_rows
        before[1] += n_bytes
    return found


def _head(found: Sequence[str], n_rows: int) -> str:
    """What machines read; a licence that isn't spelt like one of the hub's is "other" there."""
    found = list(dict.fromkeys(one if _ON_HUB.fullmatch(one := name.lower()) else _OTHER for name in found))
    found = found or [UNKNOWN]
    split = {"split": "train", "path": "data/*.parquet"}
    head = {
        "configs": [{"config_name": "default", "data_files": [split]}],
        "license": found[0] if len(found) == 1 else found if len(found) <= _MAX_LIST else _OTHER,
        "size_categories": [next((size for limit, size in _SIZES if n_rows < limit), "n>1B")],
        "tags": ["raypipe"],
        "task_categories": ["text-generation"],
    }
    return str(yaml.safe_dump(head, sort_keys=False, allow_unicode=True))


def _licence(domain: str, licences: Mapping[str, str]) -> str:
    return licences.get(domain) or licences.get("") or UNKNOWN


def _named(licences: Sequence[str]) -> str:
    """The licences of several rows in one cell."""
    rest = len(licences) - MAX_NAMED
    return ", ".join(sorted(licences)[:MAX_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _table(domains: Mapping[str, Sequence[int]], of_domain: Mapping[str, str], n_rows: int, n_bytes: int) -> str:
    """A row a domain, the largest first."""
    rows, rest = _largest_first(domains)
    cells = [of_domain[domain] for domain, *_ in rows[:MAX_DOMAINS]]
    cells += [_named([*{of_domain[domain] for domain in rest}])] if rest else []
    told = zip([*rows, ("all", n_rows, n_bytes)], [*cells, ""], strict=True)
    lines = (f"| {_cell(domain)} | {n:,} | {size:,} | {_cell(licence)} |" for (domain, n, size), licence in told)
    return "\n".join(["| domain | documents | bytes of text | licence |", "|---|---:|---:|---|", *lines])


def _licence_table(found: Mapping[str, Mapping[str, Sequence[int]]]) -> str:
    """A row a licence, the one of most documents first."""
    sums = {name: [sum(one[place] for one in of.values()) for place in (0, 1)] for name, of in found.items()}
    lines = (f"| {_cell(name)} | {n:,} | {size:,} |" for name, n, size in _largest_first(sums)[0])
    return "\n".join(["| licence | documents | bytes of text |", "|---|---:|---:|", *lines])


def _largest_first(counts: Mapping[str, Sequence[int]]) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Rows of a table with the rest in a last one, and the names in that."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
    rows, rest = [(name, n, size) for name, (n, size) in ordered[:MAX_DOMAINS]], ordered[MAX_DOMAINS:]
    if rest:
        n, size = (sum(of[place] for _, of in rest) for place in (0, 1))
        rows.append((f"{len(rest):,} others", n, size))
    return rows, [name for name, _ in rest]


def _sources(inputs: Sequence[str]) -> str:
    return f"Read from {', '.join(f'`{_public(source)}`' for source in inputs)}. " if inputs else ""


def _block(identity: Json) -> str:
    """The settings of the export, the selection and the scores that it was made from."""
    return f"```json\n{json.dumps(_shareable(identity), indent=1, ensure_ascii=False)}\n```"


def _shareable(value: Any) -> Any:
    """Settings of any depth, without where files lie on this machine and what fills pages."""
    if isinstance(value, dict):
        return {name: _shareable(of) for name, of in value.items()}
    if isinstance(value, list):
        return [_shareable(of) for of in value] if len(value) <= _MAX_LIST else f"{len(value):,} values"
    return _public(value) if isinstance(value, str) else value


def _public(source: str) -> str:
    """A name or URI as it stands, of a local path its last part."""
    name, equals, uri = source.partition("=")
    if equals and "/" not in name:
        return f"{name}={_public(uri)}"
    is_path = source.startswith(("/", "~", ".", "file://"))
    return source.rstrip("/").rpartition("/")[2] if is_path else source.replace("`", "'")


def _cell(text: str) -> str:
    """A text in a table of Markdown: on one line, its marks without effect."""
    plain = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\|`*_<>[]#" else sign for sign in plain)


def corpora_of(run_file: Json | None) -> list[str]:
    """The sources that the jobs of a run were given, each once."""
    recipes: Iterable[Json] = (job.get("recipe", {}) for job in (run_file or {}).get("jobs", {}).values())
    found = (source for recipe in recipes for source in recipe.get("corpus") or ())
    return list(dict.fromkeys(map(str, found)))
