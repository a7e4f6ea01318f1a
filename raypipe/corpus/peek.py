"""A look at the first JSON rows of a new corpus: a misspelt column is found before anything is scored."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice

from raypipe.corpus.files import Files
from raypipe.corpus.lines import parse, shard_lines
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile

N_FILES, N_ROWS = 8, 100


def check_keys(corpus: Corpus, shards: Iterable[Shard]) -> None:
    """See that each column is a key of at least one of the first rows of the first files.

    JSON has no schema: a key that some rows lack is theirs to lack, one that all lack is a mistake.

    Raises
    ------
    KeyError
        If none of these rows has it; with the nearest name.
    """
    first = {shard.path: shard for shard in shards if shard.cut != "rows" and shard.start == 0}
    sample = list(islice(first.values(), N_FILES))
    records = [record for shard in sample for record in _records(corpus, shard)]
    domain = corpus.domain_column if all(shard.domain is None for shard in sample) else None
    for name in (corpus.text_column, corpus.id_column, domain):
        if records and name and not any(_has(record, name) for record in records):
            keys = sorted({key for record in records for key in record})
            near = get_close_matches(name, keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise KeyError(
                f"none of the first {len(records)} rows of {', '.join(shard.path for shard in sample)} has a key "
                f"{name!r}; their keys are {keys[:50]}{hint}"
            )


def _records(corpus: Corpus, shard: Shard) -> Iterator[dict[str, object]]:
    """The first rows that are JSON objects with something in them."""
    try:
        with Files().open_unchanged(shard) as file:
            lines = islice(shard_lines(file, shard, max_bytes=corpus.max_line_bytes), N_ROWS)
            yield from (record for record, _ in map(parse, (line for _, line in lines)) if record)
    except UnreadableFile:  # whoever reads the shard will say so
        return


def _has(record: dict[str, object], name: str) -> bool:
    if name in record:
        return True
    value: object = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
