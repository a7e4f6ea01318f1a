"""The first N rows of a corpus: shards whose rows nobody has counted are counted as far as is needed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from raypipe.corpus.files import Files
from raypipe.corpus.lines import shard_lines
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile


def limited(corpus: Corpus, shards: Iterable[Shard]) -> Iterator[Shard]:
    """The shards with the first `corpus.limit` rows, the last with max_rows; what lies behind isn't looked at."""
    left, files, remaining = corpus.limit or 0, Files(), iter(shards)
    shard = next(remaining, None)
    while shard is not None:
        after = next(remaining, None)
        if after is not None and shard.n_rows is None:  # of the last shard we needn't know
            shard = _counted(corpus, shard, files, at_most=left)
        if shard.broken is None and (shard.n_rows is None or shard.n_rows >= left):
            yield replace(shard, max_rows=left)
            return
        yield shard
        left -= shard.n_rows or 0
        shard = after


def _counted(corpus: Corpus, shard: Shard, files: Files, *, at_most: int) -> Shard:
    if shard.broken is not None:
        return shard
    try:
        with files.open_unchanged(shard) as file:
            lines = shard_lines(file, shard, max_bytes=corpus.max_line_bytes)
            return replace(shard, n_rows=sum(1 for _ in islice(lines, at_most)))
    except UnreadableFile as error:
        return replace(shard, broken=str(error))
