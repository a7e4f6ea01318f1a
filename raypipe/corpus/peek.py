"""A look at the first JSON rows of a new corpus: a misspelt column is found before anything is scored."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain, islice

from raypipe.corpus.files import Files
from raypipe.corpus.lines import parse, shard_lines
from raypipe.corpus.partitions import partitions
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile
from raypipe.corpus.sources import SourceFile
from raypipe.corpus.sql import Path
from raypipe.corpus.where import Condition

N_FILES, N_ROWS = 8, 100
MORE_FILES, MORE_ROWS = 256, 5000
"""Of a second look, where a column wasn't found: further down in those files, then in files all over the corpus."""

_DEPTH = 3
"""Keys of objects in objects that are offered as the right spelling."""


def check_keys(corpus: Corpus, shards: Iterable[Shard], condition: Condition | None = None) -> None:
    """See that each column is a key of at least one of the first rows of some files, or of one of their paths.

    JSON has no schema: a key that some rows lack is theirs to lack, one that all lack is a mistake. Of a key whose
    absence the condition speaks of (`x IS NULL`, `coalesce(x, 0)`) nothing is asked.

    Raises
    ------
    KeyError
        If none of these rows has it; with the nearest name.
    """
    first = list({shard.path: shard for shard in shards if shard.cut != "rows" and shard.start == 0}.values())
    domain = corpus.domain_column if all(shard.domain is None for shard in first) else None
    given = {name for shard in first for name in partitions(shard.path)}
    named = [*corpus.text_columns, *(name for name in (corpus.id_column, domain) if name and name not in given)]
    asked = {name: [(name,), tuple(name.split("."))] for name in named} | _required(condition, given)
    _look_for(asked, first, given, named=named, max_line_bytes=corpus.max_line_bytes)


def check_condition(condition: Condition, files: Sequence[SourceFile], *, max_line_bytes: int) -> None:
    """See that each key that a condition needs is there, as `check_keys` does.

    Raises
    ------
    KeyError
        If none of the first rows has it; with the nearest name.
    """
    lines = [file for file in files if file.cut != "rows"]
    shards = [Shard(file.path, file.uri, "part", 0, -1, file.fingerprint) for file in lines]
    given = {name for file in lines for name in partitions(file.path)}
    _look_for(_required(condition, given), shards, given, named=[], max_line_bytes=max_line_bytes)


def _look_for(
    asked: dict[str, list[Path]], first: Sequence[Shard], given: set[str], *, named: list[str], max_line_bytes: int
) -> None:
    seen = _Seen(asked, given)
    seen.look(_records(first[:N_FILES], N_ROWS, max_line_bytes))
    if seen.n_rows and seen.missing:
        seen.look(_records(first[:N_FILES], MORE_ROWS, max_line_bytes))
        seen.look(_records(first[:: -(-len(first) // MORE_FILES)], N_ROWS, max_line_bytes))
    if seen.n_rows and seen.missing:
        name = next(iter(seen.missing))
        raise _unknown(name, seen, first, is_where=name not in named)


def _required(condition: Condition | None, given: set[str]) -> dict[str, list[Path]]:
    """The columns that the rows must have for a condition; SQL doesn't tell cases apart in what paths give."""
    lower = {name.lower() for name in given}
    paths = sorted(condition.required) if condition else []
    return {".".join(path): [path] for path in paths if path[0].lower() not in lower}


class _Seen:
    """Which of the columns asked for were seen, and what else."""

    def __init__(self, asked: dict[str, list[Path]], given: set[str]) -> None:
        self.missing, self.n_rows, self.keys = asked, 0, dict.fromkeys(sorted(given))

    def look(self, records: Iterator[dict[str, object]]) -> None:
        """Look at rows until all columns were seen."""
        for n_rows, record in enumerate(records, start=1):
            self.n_rows = max(self.n_rows, n_rows)
            self.keys.update(dict.fromkeys(_keys(record, _DEPTH)))
            for name in [name for name, paths in self.missing.items() if any(_has(record, path) for path in paths)]:
                del self.missing[name]
            if not self.missing:
                return


def _unknown(name: str, seen: _Seen, shards: Sequence[Shard], *, is_where: bool) -> KeyError:
    near = get_close_matches(name, seen.keys, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    keys = sorted(key for key in seen.keys if "." not in key)
    paths = ", ".join(shard.path for shard in shards[:N_FILES]) + (", ..." if len(shards) > N_FILES else "")
    remedy = f' If rows may lack it, the condition must say what holds then, as in "{name} IS NULL OR ...".'
    return KeyError(
        f"none of the first {seen.n_rows} rows of {paths} has a key {name!r}; their keys are {keys[:50]}{hint}"
        + (remedy if is_where else "")
    )


def _records(shards: Sequence[Shard], n_rows: int, max_line_bytes: int) -> Iterator[dict[str, object]]:
    """The first rows of files that are JSON objects with something in them."""
    return chain.from_iterable(_records_of(shard, n_rows, max_line_bytes) for shard in shards)


def _records_of(shard: Shard, n_rows: int, max_line_bytes: int) -> Iterator[dict[str, object]]:
    try:
        with Files().open_unchanged(shard) as file:
            lines = islice(shard_lines(file, shard, max_bytes=max_line_bytes), n_rows)
            yield from (record for record, _ in map(parse, (line for _, line in lines)) if record)
    except UnreadableFile:  # whoever reads the shard will say so
        return


def _has(record: dict[str, object], path: Path) -> bool:
    value: object = record
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _keys(record: dict[str, object], depth: int) -> Iterator[str]:
    for name, value in record.items():
        yield name
        if depth > 1 and isinstance(value, dict):
            yield from (f"{name}.{below}" for below in _keys(value, depth - 1))
