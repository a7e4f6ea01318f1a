"""What guides print against what comes out: outputs that are the same on every machine, and quickly there.

A guide leaves out with `...`, or ends a line early; what it shows must stand there, in this order.
"""

import re
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.gather import lines
from jobs.label_corpus import _numbered
from jobs.parts.classifiers import read_labels
from jobs.parts.label_models import label_model_of, said_of_labels, table_of
from jobs.parts.labelling import read_functions
from raypipe import sample
from raypipe.columns import ID
from raypipe.contracts.parts import apply
from raypipe.corpus import Corpus, plan_shards, read_shard
from raypipe.describe.describe import PART_NAMES, Describe, parts_of
from raypipe.label.functions.cast_votes import CastVotes
from raypipe.label.functions.summary import VoteSummary
from raypipe.select.dedup.minhash import Bands
from raypipe.select.quantiles import ColumnQuantiles
from raypipe.select.rules.published import PUBLISHED

ROOT = Path(__file__).parents[1]
JOBS = (ROOT / "jobs/README.md").read_text(encoding="utf-8")


def shown(beginning: str, guide: str = JOBS) -> str:
    """The line of an output in a guide that begins so, with those that it was broken into."""
    at = re.search(rf"^ {{4,}}{re.escape(beginning)}.*(?:,\n    .*)*", guide, re.MULTILINE)
    assert at is not None, beginning
    return " ".join(at[0].split())


def says(line: str, printed: str) -> bool:
    """Whether a guide's line is what was printed, but for what it leaves out."""
    parts = [re.escape(part.strip(" ,")) for part in line.partition("    (")[0].split("...")]
    return re.match(r".*?".join(parts), " ".join(printed.split())) is not None


@pytest.fixture(scope="module")
def described() -> pa.Table:
    """The columns of the sample's rows."""
    return apply(Describe(parts_of(PART_NAMES)), rows_of(Corpus((str(sample.corpus_folder()),))))


def rows_of(corpus: Corpus) -> pa.Table:
    shards = plan_shards(corpus, shard_bytes=2**30, part_rows=1)
    return pa.concat_tables([read_shard(corpus, shard) for shard in shards])


def test_a_changed_figure_would_be_found() -> None:
    assert says("a: 3 rows, ... 5 % 2", "a: 3 rows, 1 null; 5 % 2, 9 % 4")
    assert not says("a: 3 rows, ... 5 % 3", "a: 3 rows, 1 null; 5 % 2, 9 % 4")


def test_quantiles_of_the_samples_columns_are_those_of_the_guide(described: pa.Table) -> None:
    named = described.rename_columns(
        [name if name == "reason" else f"columns.{name}" for name in described.column_names]
    )
    assert says(shown("columns: domain, "), f"columns: {', '.join(described.column_names[:-2])}")
    names = ("columns.n_words", "columns.top_2gram_chars")
    gather = ColumnQuantiles(names)
    gather.update(named)
    for name, line in zip(names, lines(gather.result()), strict=True):
        assert says(shown(f"{name}: 198 rows"), line), line


def test_rules_drop_as_many_rows_of_the_sample_as_the_guide_says(described: pa.Table) -> None:
    rules = {f"{of}: {rule}": rule for of in ("gopher", "fineweb") for rule in PUBLISHED[of]}
    rules["(\"language\" = 'en')"] = "language = 'en'"
    held = duckdb.sql(f"SELECT {', '.join(f'coalesce({one}, false)' for one in rules.values())} FROM described")
    dropped = ~np.array(held.fetchall())
    assert f"keep {(~dropped.any(axis=1)).sum()} of {len(dropped)} scored rows" in shown("rules keep")
    alone = dropped & (dropped.sum(axis=1) == 1)[:, None]
    n_told = 0
    for at, rule in enumerate(rules):
        if f"  {rule}: drops" in JOBS:
            n, n_told = int(dropped[:, at].sum()), n_told + 1
            expected = f"{rule}: drops {n} ({100 * n / len(dropped):.1f}%), {alone[:, at].sum()} alone"
            assert shown(f"{rule}: drops") == expected
    assert n_told == 4


def test_the_chance_to_find_two_texts_is_that_of_the_guide() -> None:
    assert says(shown("14 bands of 8 hashes"), Bands().said())


def test_labels_of_the_walk_are_those_of_the_guide() -> None:
    asked = read_functions(str(ROOT / "jobs/recipes/debtags_functions.yaml"))
    truth = _numbered(read_labels(str(sample.debtags_file())), asked.classes)
    source = rows_of(Corpus((str(sample.debtags_file()),), id_column=ID))
    cast = apply(CastVotes(asked.functions, asked.classes), source)
    summary = VoteSummary("votes", asked.names, truth)
    columns = {f"votes.{name}": cast[name] for name in ("votes", "failed", "failures")}
    summary.update(pa.table({ID: source[ID], "reason": cast["reason"], **columns}))
    model = label_model_of("dawid-skene")(n_classes=5, uses_abstentions=True)
    model.fit_counts(summary.votes)
    printed = table_of(summary.result(), asked.classes)
    printed += said_of_labels(model, "dawid-skene", summary, tuple(np.arange(10)), asked.classes)
    walk = JOBS[JOBS.index("`make walk`") :]
    for beginning in ("plays ", "known games ", "dawid-skene: ", "dawid-skene  ", "majority-vote "):
        line = shown(beginning, walk)
        assert any(says(line, one) for one in printed), line


def test_the_samples_documents_are_as_many_as_the_readme_says(described: pa.Table) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"The sample is {len(described)} real documents of eight domains" in readme
    counts = {path.stem: len(path.read_text().splitlines()) for path in sample.corpus_folder().glob("*.jsonl")}
    assert len(counts) == 8
    for domain in ("data_table", "python_code", "encyclopedia"):
        assert shown(f"{domain} ", readme).split()[:3] == [domain, f"{counts[domain]}", f"{counts[domain]}"]
