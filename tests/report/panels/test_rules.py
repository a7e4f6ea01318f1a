"""The panel of rules: it is there for the rules of this selection, and for no others."""

import json

from raypipe.report.numbers.run_numbers import gather_numbers
from raypipe.report.page.page import page
from tests.report.page.tables import tables
from tests.report.synthetic import Made, make_run, write_rules

CAPTION = "What each rule drops"


def shown(made: Made) -> dict[str, list[dict[str, str]]]:
    return tables(page(gather_numbers(made.folder), {}))


def test_rules_of_an_earlier_selection_are_not_shown(tmp_path):
    made = make_run(tmp_path / "run", n_rows=60, n_files=1, hostile=False)
    assert CAPTION not in shown(made)
    write_rules(made.folder)
    assert len(shown(made)[CAPTION]) == 4
    card = json.loads(made.folder.read("selection/card.json"))
    made.folder.write("selection/card.json", json.dumps(card | {"identity": {"share": 0.3}}).encode())
    assert CAPTION not in shown(made)


def test_a_card_that_tells_no_first_reasons_shows_the_others(tmp_path):
    made = make_run(tmp_path / "run", n_rows=60, n_files=1, hostile=False)
    write_rules(made.folder)
    card = json.loads(made.folder.read("rules/card.json"))
    for one in card["rules"]["rules"]:
        del one["first"]
    made.folder.write("rules/card.json", json.dumps(card).encode())
    assert list(shown(made)[CAPTION][0]) == ["rule", "rows dropped", "of scored rows", "by it alone"]
