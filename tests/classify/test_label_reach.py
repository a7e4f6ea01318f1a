"""Labels beyond a classifier's classes: as Loki answers, the hierarchy's pieces, edges that don't fit."""

import numpy as np
import pytest

from raypipe.classify.label_metrics import along_edges
from raypipe.classify.label_reach import LabelReach
from raypipe.classify.loki import frechet_mean

EDGES = (("cat", "mammal"), ("dog", "mammal"), ("mammal", "animal"), ("trout", "fish"), ("fish", "animal"))


def test_answers_are_loki_s_and_may_have_no_row():
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    classes = ["cat", "dog", "trout"]
    metric = along_edges(EDGES)
    slow = metric.labels[frechet_mean(probability, metric.distances[metric.positions(np.array(classes))])]
    found = LabelReach((*EDGES, EDGES[0])).labels_of(probability, classes)
    assert found == slow.tolist()
    assert {"mammal", "animal"} <= set(found)
    assert LabelReach(EDGES).labels_of(np.array([[0.5, 0.5, 0.0]]), classes) == ["mammal"]


def test_what_no_path_leads_to_is_left_out_or_refused():
    apart = (*EDGES, ("granite", "rock"))
    assert "rock" not in LabelReach(apart).labels_of(np.eye(2), ["cat", "trout"])
    with pytest.raises(ValueError, match="no path leads from 'cat' to 'granite'"):
        LabelReach(apart).check(["cat", "granite"])
    with pytest.raises(ValueError, match="'cow' is in none"):
        LabelReach(EDGES).check(["cat", "cow"])
    with pytest.raises(ValueError, match="one at least, got none"):
        LabelReach(()).check(["cat"])


def test_other_edges_are_another_identity():
    assert LabelReach(EDGES).identity() == LabelReach(EDGES[::-1]).identity()
    assert LabelReach(EDGES).identity() != LabelReach(EDGES[1:]).identity()
