"""An expression of SQL over a row's columns and those of other stages: where it holds, or the class that it gives.

Source: DuckDB, cut off from everything but the row; subqueries, aggregates, windows and random() are refused.
Departures: NaN counts as null, as in --where.
Cost: that of the expression; one query for each batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from raypipe.columns import SOURCE
from raypipe.corpus.sql import WHOLE, Tree, connection, failures, first_line, parsed
from raypipe.corpus.values import comparable
from raypipe.label.functions.function import column

_ROW, _ROWS = "__row__", "voted_rows"


@dataclass(frozen=True)
class Sql:
    """Votes for `vote` where the expression is true; without `vote`, for the class that it gives, none where null.

    >>> from raypipe.corpus.rows import source_of
    >>> function = Sql("shouts", sql="CASE WHEN text = upper(text) THEN 'spam' WHEN length(text) > 9 THEN 'ham' END")
    >>> function.says(source_of(["BUY NOW", "see you tomorrow", "yes"])).to_pylist()
    ['spam', 'ham', None]
    """

    name: str
    sql: str
    """On `text`, `n_bytes`, `domain`, `id` and STAGE.COLUMN: scores.loss > 3 AND n_bytes < 2000."""
    vote: str | None = None
    """The class; None: the expression's value."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it names."""
        return tuple(dict.fromkeys(_columns(parsed(self.sql).tree)))

    def check(self) -> None:
        """Refuse what DuckDB can't read, and what doesn't fit the columns of the corpus.

        Raises
        ------
        ValueError
            With what DuckDB says of it.
        """
        import duckdb

        try:
            reads = self.reads
        except failures() as error:
            raise self._refusal(error) from error
        kinds = {name: SOURCE.field(name).type if name in SOURCE.names else pa.null() for name in reads}
        try:
            self.says(pa.table({name: pa.nulls(1, kind) for name, kind in kinds.items()}))
        except (duckdb.CatalogException, duckdb.ParserException) as error:
            raise self._refusal(error) from error
        except duckdb.Error as error:
            if all(name in SOURCE.names for name in reads):  # the types of other stages' columns only the rows have
                raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> ValueError:
        why = first_line(error).partition(" can't be used: ")
        return ValueError(f"labelling function {self.name!r}: sql {self.sql!r} can't be used: {why[2] or why[0]}.")

    def says(self, table: pa.Table) -> pa.Array:
        """The class of each row."""
        rows = {_ROW: pa.array(range(len(table)), pa.int64()), **_as_structs(table, self.reads)}
        value = f"CAST(({self.sql}\n) AS {'BOOLEAN' if self.vote else 'VARCHAR'})"
        connection().register(_ROWS, pa.table(rows))
        try:
            found = connection().execute(f"SELECT {value} FROM {_ROWS} ORDER BY {_ROW}").fetchall()
        finally:
            connection().unregister(_ROWS)
        return pa.array([(self.vote if one else None) if self.vote else one for (one,) in found], pa.string())


def _columns(tree: Tree) -> Iterator[str]:
    """`text` of the corpus; `scores.loss` where `scores` isn't one of its columns."""
    for name, below in tree.items():
        fields = [field for field in below if field != WHOLE]
        yield from [name] if name in SOURCE.names or not fields else [f"{name}.{field}" for field in fields]


def _as_structs(table: pa.Table, names: tuple[str, ...]) -> dict[str, pa.Array]:
    """The columns by name; those of a stage as fields of one column, so that `scores.loss` means its field."""
    found: dict[str, pa.Array] = {}
    fields: dict[str, dict[str, pa.Array]] = {}
    for name in names:
        stage, dot, field = name.partition(".")
        if dot and name not in SOURCE.names:
            fields.setdefault(stage, {})[field] = comparable(column(table, name))
        else:
            found[name] = comparable(column(table, name))
    return found | {stage: pa.StructArray.from_arrays(list(of.values()), list(of)) for stage, of in fields.items()}
