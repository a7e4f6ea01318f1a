"""A corpus: files of rows, planned as shards and read as tables of `columns.SOURCE`.

`sources` finds the files, `plan` cuts them into shards, `read` reads a shard or a stream; `parquet`, `lines`, `arrays`
and `decompress` know a format each, `values` the types of columns, `partitions` the columns of a path; `rows` judges
texts, `where` evaluates the user's condition, `cache` keeps a plan, and `stages` joins committed stages to the rows.
"""

from raypipe.corpus.cache import Known, load, save
from raypipe.corpus.plan import Plan, plan_shards
from raypipe.corpus.read import read_shard, read_stream
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile

__all__ = [
    "Corpus",
    "Known",
    "Plan",
    "Shard",
    "UnreadableFile",
    "load",
    "plan_shards",
    "read_shard",
    "read_stream",
    "save",
]
