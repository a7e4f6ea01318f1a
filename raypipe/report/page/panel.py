"""A panel: what the page says of one kind of stage."""

from dataclasses import dataclass

from markupsafe import Markup

from raypipe.report.page.render import render


@dataclass(frozen=True)
class Panel:
    """A section of the page, and what its link says."""

    anchor: str
    link: str
    body: Markup


def panel(anchor: str, link: str, template: str, **values: object) -> Panel:
    """The panel that a template makes of some values."""
    return Panel(anchor, link, render(template, **values))
