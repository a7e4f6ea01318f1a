"""A text made of a row's columns: several joined, or the messages of a conversation one after another.

Source: Jinja's templates, in its sandbox that changes nothing; `{{ title }}\n\n{{ body }}`, or
`{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}`.
A column that is null or isn't there is the empty string; a row in which all of them are has no text.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from raypipe.corpus.rows import NULL, judge

if TYPE_CHECKING:
    from jinja2 import Template

MAX_REASON = 200


@dataclass(frozen=True)
class TextTemplate:
    """A template, checked."""

    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, sorted.

        Raises
        ------
        ValueError
            If it can't be read, or names none.
        """
        return _compiled(self.source)[1]

    def judged(self, record: dict[str, object]) -> tuple[bytes | None, str | None]:
        """The UTF-8 of a row's text and None, or None and the reason why there is none."""
        template, columns = _compiled(self.source)
        cells = {name: record.get(name) for name in columns}
        if all(cell is None for cell in cells.values()):
            return None, NULL
        try:
            text = template.render(cells)
        except Exception as error:  # whatever a row makes of the user's expression is that row's reason
            return None, f"template failed: {type(error).__name__}: {error}"[:MAX_REASON]
        return judge(text)


@lru_cache
def _compiled(source: str) -> "tuple[Template, tuple[str, ...]]":
    from jinja2 import TemplateError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(finalize=lambda value: "" if value is None else value)
    try:
        columns = tuple(sorted(meta.find_undeclared_variables(environment.parse(source)) - environment.globals.keys()))
        template = environment.from_string(source)
    except TemplateError as error:
        raise ValueError(f"template can't be read: {error}; got {source!r}.") from error
    if not columns:
        raise ValueError(f"template must name a column, as in '{{{{ title }}}}', got {source!r}.")
    return template, columns
