"""Templates with everything that comes in made safe: unseen characters seen, markup escaped.

Whatever a template prints goes through `escape.visible` and then through Jinja's own escaping, unless it is `Markup`,
which only templates, charts and `foreign` make.
"""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from raypipe.report.escape import shorten, visible


def foreign(text: object, max_chars: int = 80) -> Markup:
    """A name from the corpus or the user, isolated from the direction of the text around it; whole in a tooltip."""
    whole = str(text)
    short = shorten(whole, max_chars)
    if short == whole:
        return Markup("<bdi>{}</bdi>").format(visible(whole))
    return Markup('<bdi title="{}">{}</bdi>').format(visible(whole[:2000]), visible(short))


def seen(value: object) -> object:
    """What a template prints: markup as it is, nothing for None, any other value as text that can be seen."""
    if isinstance(value, Markup):
        return value
    return "" if value is None else visible(str(value), keep="\n\t")


def render(template: str, **values: object) -> Markup:
    """A template of `page/templates`, filled."""
    return Markup(_templates.get_template(template).render(**values))


_templates = Environment(
    loader=PackageLoader("raypipe.report.page", "templates"),
    autoescape=True,
    finalize=seen,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["foreign"] = foreign


def joined(*parts: str) -> Markup:
    """Texts and markup one after the other; what isn't markup is escaped."""
    return Markup("").join(part if isinstance(part, Markup) else escape(visible(part)) for part in parts)
