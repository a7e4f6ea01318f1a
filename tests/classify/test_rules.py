import duckdb
import numpy as np
import pyarrow as pa
import pytest

from raypipe.classify.fold_se import FoldSE
from raypipe.classify.rules import DefaultRule, n_conditions, n_printed, program, said, sentence, sql
from raypipe.classify.tables import Cells, CellTest
from raypipe.corpus.where import Condition
from tests.classify.mixed_tables import mixed_table

NAMES = ["age", "stages.score", "colour", "it's", "mixed"]
BARE = DefaultRule((CellTest(2, "==", "red"),))
DEEP = DefaultRule((CellTest(0, ">", 3.0), CellTest(2, "!=", "")), (DefaultRule((CellTest(1, "<=", 0.5),)),))
RULE = DefaultRule((CellTest(0, ">", 1.0), CellTest(0, "<=", 9.0), CellTest(0, ">", 2.0)), (BARE, DEEP))


def kept(rows: pa.Table, condition: str) -> list[bool]:
    """What DuckDB makes of the condition."""
    connection = duckdb.connect()
    connection.register("given", rows)
    return [one for (one,) in connection.sql(f"select {condition} from given").fetchall()]


def test_a_program_names_exceptions_and_folds_bare_ones() -> None:
    assert program([("keep", RULE), ("keep", DEEP)], NAMES) == [
        "keep if 2 < age <= 9 and colour != 'red' and not ab1",
        "keep if age > 3 and colour is not missing and not stages.score <= 0.5",
        "ab1 if age > 3 and colour is not missing and not stages.score <= 0.5",
    ]
    assert (n_printed([RULE, DEEP]), n_conditions([RULE, DEEP])) == (3, 10)


def test_folding_changes_no_verdict() -> None:
    cells = Cells(mixed_table(0)[0])
    assert (RULE.folded.holds(cells) == RULE.holds(cells)).all()
    assert 0 < RULE.holds(cells).sum() < 200


def test_a_sentence_spells_exceptions_out() -> None:
    assert sentence(RULE, NAMES) == (
        "2 < age <= 9 and colour != 'red'; and none of: (age > 3 and colour is not missing and not stages.score <= 0.5)"
    )
    assert sentence(BARE, NAMES) == "colour = 'red'"
    assert said([CellTest(3, "==", "")], NAMES) == ["it's is missing"]


def test_a_rule_survives_json() -> None:
    assert DefaultRule.from_json(RULE.to_json()) == RULE


@pytest.mark.parametrize("seed", range(4))
def test_sql_keeps_the_rows_that_the_classifier_does(seed: int) -> None:
    X, y = mixed_table(seed)
    X[:, 4] = [cell if isinstance(cell, float) else None for cell in X[:, 4]]  # a column of SQL has one type
    names, labels = ["a", "b b", "c", "d", "e"], np.where(y, "good", "it's bad")
    model = FoldSE(tail=0).fit(X, labels)
    rows = pa.table({name: list(X[:, column]) for column, name in enumerate(names)})
    for of in ("good", "it's bad"):
        condition = model.condition(of, names)
        assert Condition(condition).names.keys() <= set(names)  # it is one that --keep takes
        assert kept(rows, condition) == (model.predict(X) == of).tolist()


def test_sql_of_several_classes_follows_their_order() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = np.array(["low", "middle", "high"])[(X[:, 0] > -0.5).astype(int) + (X[:, 0] + 0.3 * X[:, 1] > 0.5)]
    model = FoldSE().fit(X, y)
    rows = pa.table({"u": X[:, 0], "v": X[:, 1]})
    for of in model.classes_:
        assert kept(rows, model.condition(of, ["u", "v"])) == (model.predict(X) == of).tolist()
    with pytest.raises(ValueError, match=r"class must be one of \['high', 'low', 'middle'\], got 'top'"):
        model.condition("top", ["u", "v"])


def test_a_column_of_a_stage_is_quoted_part_by_part() -> None:
    found = sql(DEEP, ["age", 'scores.a"b', "c", "d", "e"], is_number=[True, True, False, False, False])
    assert '"scores"."a""b" <= 0.5' in found
