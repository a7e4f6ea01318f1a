"""Docstrings as we write them, as HTML: no markup but `code`, indented blocks, lists, what is raised, and cards.

They aren't Markdown, which would read stars, angles and numbers of papers at the start of a line as its own.
"""

import html
import re
from collections.abc import Iterator
from textwrap import dedent

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer

FORMATTER = HtmlFormatter(cssclass="pdoc-code codehilite")
EXAMPLE = ">>> "
CODE = re.compile(r"`([^`]+)`")
CARD = re.compile(r"(Sources?|Departures?|Cost|Memory|Gather|What was learned): ")
"""How lines of the card at the head of a file begin; each is a paragraph of its own."""


def to_html(docstring: str) -> str:
    """The HTML of a docstring whose common indentation is gone."""
    return "\n".join(_block(lines) for lines in _blocks(docstring.strip("\n").splitlines()))


def first_sentence(docstring: str) -> str:
    """What a docstring says first, up to its first full stop at the end of a line or a blank line, as HTML."""
    return _inline(re.split(r"\n\s*\n|(?<=\.)\n", docstring.strip(), maxsplit=1)[0])


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Lines that belong together: a section, an indented block with the blank lines in it, a list, or a paragraph."""
    block: list[str] = []
    for line, following in zip(lines, [*lines, ""][1:], strict=True):
        if block and _starts(line, following, block):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _starts(line: str, following: str, block: list[str]) -> bool:
    is_section, is_code = block[1:2] and set(block[1]) == {"-"}, _is_code(block[0])
    if is_section or not line.strip():
        return False
    if block[0].startswith(EXAMPLE):
        return not block[-1].strip()
    if is_code:
        return not _is_code(line)
    after_blank = not block[-1].strip()
    is_item = line.startswith("- ") and not block[0].startswith("- ")
    return after_blank or is_item or CARD.match(line) is not None or set(following) == {"-"}


def _is_code(line: str) -> bool:
    return line.startswith("    ")


def _block(lines: list[str]) -> str:
    text = "\n".join(lines).rstrip()
    if lines[1:2] and set(lines[1]) == {"-"}:
        return _section(lines[0], lines[2:])
    if _is_code(lines[0]) or lines[0].startswith(EXAMPLE):
        return _code(dedent("\n".join(lines)).rstrip())
    if lines[0].startswith("- "):
        return (
            "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in re.split(r"^- ", text, flags=re.M)[1:]) + "</ul>"
        )
    if named := CARD.match(text):
        return f"<p><strong>{named[1]}:</strong> {_inline(text[named.end() :])}</p>"
    return f"<p>{_inline(text)}</p>"


def _code(text: str) -> str:
    if text.startswith(EXAMPLE):
        return str(highlight(text, PythonConsoleLexer(), FORMATTER))
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _section(title: str, lines: list[str]) -> str:
    rows = []
    for line in lines:
        if _is_code(line) and rows:
            rows[-1][1] += f"{line.strip()}\n"
        elif line.strip():
            rows.append([line, ""])
    pairs = (f"<dt><code>{html.escape(name)}</code></dt><dd>{_inline(text.rstrip())}</dd>" for name, text in rows)
    return f"<h6>{html.escape(title)}</h6><dl>{''.join(pairs)}</dl>"


def _inline(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
