"""HTML as a tree of function calls, in which every string is escaped unless it is `Html` already."""

from collections.abc import Iterable, Sequence

from raypipe.report.escape import html_text, shorten

_VOID = {"meta", "br", "hr", "col"}


class Html(str):
    """Markup that `element` made; a plain string is never taken for it."""

    __slots__ = ()


def element(name: str, *children: str | Iterable[str], **attributes: str | float | bool | None) -> Html:
    """`<name attribute="value">children</name>`; strings are escaped.

    An attribute that is None or False is left out; `class_` stands for `class`, and `_` inside a name for `-`.
    """
    pairs = (_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    opening = f"<{name}{''.join(pairs)}>"
    return Html(opening) if name in _VOID else Html(f"{opening}{joined(children)}</{name}>")


def joined(children: Iterable[str | Iterable[str]]) -> Html:
    """The children one after the other, nested ones too; strings that aren't `Html` are escaped."""
    return Html("".join(_child(child) for child in children))


def _child(child: str | Iterable[str]) -> str:
    if isinstance(child, Html):
        return child
    return html_text(child, keep="\n\t") if isinstance(child, str) else joined(child)


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    return f" {name}" if value is True else f' {name}="{html_text(str(value))}"'


def foreign(text: str, *, max_chars: int = 80) -> Html:
    """A name from the corpus or the user, isolated from the direction of the text around it; whole in a tooltip."""
    short = shorten(text, max_chars)
    return element("bdi", Html(html_text(short)), title=text[:2000] if short != text else None)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str | Iterable[str]]], *, caption: str = "", text_columns: int = 1
) -> Html:
    """A table that scrolls by itself when it is wider than the page; cells after the first ones are numbers."""

    def cell(name: str, column: int, content: str | Iterable[str]) -> Html:
        """One cell; numbers stand to the right."""
        return element(name, content, class_="number" if column >= text_columns else None)

    head = element("tr", [cell("th", column, header) for column, header in enumerate(headers)])
    body = [element("tr", [cell("td", column, content) for column, content in enumerate(row)]) for row in rows]
    described = element("caption", caption) if caption else Html("")
    inner = element("table", described, element("thead", head), element("tbody", body))
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption or ", ".join(headers))
