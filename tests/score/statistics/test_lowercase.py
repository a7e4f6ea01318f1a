import numpy as np

from raypipe.score.statistics.lowercase import Lowercase


def test_it_is_the_loss_in_lower_case_over_the_loss():
    given = {"nll": np.array([1, 3, 0, 4], np.float32), "loss_lower": np.array([3.0, 1.0, np.nan])}
    found = Lowercase()(given, np.array([2, 1, 1]))
    assert found["lowercase"][0] == 1.5
    assert np.isnan(found["lowercase"][1:]).all()  # no loss to compare with; one token in lower case
    assert found["loss"].tolist() == [2.0, 0.0, 4.0]


def test_a_text_known_as_it_is_written_is_above_one_known_in_lower_case():
    given = {"nll": np.array([1, 4], np.float32), "loss_lower": np.array([3.0, 3.0])}
    known, unknown = Lowercase()(given, np.array([1, 1]))["lowercase"]
    assert known > 1 > unknown
