"""Vectors, sets, counts and tables -> classes, novelty, rules: estimators in scikit-learn's contract."""
