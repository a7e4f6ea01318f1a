"""The classifiers that jobs offer by name: a new one is a file in this package, its test, and one line here.

What a class must have is `raypipe.contracts.estimator.Estimator`; `tests/conformance/test_estimators.py` holds it to
that. Its settings are the annotated, keyword-only arguments of `__init__`, which jobs take as `--set NAME=VALUE`
(`raypipe.settings.estimators`). What else it has, the jobs find and use:

- `takes = "counts"`, `"ngrams"`, `"words or vectors"`, `"table"` or `"sets"` (a class variable; without it
  `"vectors"`): see `contracts.estimator`;
- `score_samples(X)`: how familiar rows are, higher is more -> column `familiarity`, and AUROC and OSCR for unknowns;
- `explain(X, names)`: a sentence a row -> column `explanation`;
- `radius(X)`: how far a row may move without another class -> column `radius`;
- `takes_names = True` (a class variable): `fit(X, y, names=...)` takes a vector of each label's name, made by what
  makes vectors of texts;
- `fit_many(X, labels)` and `probabilities(X)`: it learns from rows that have a list of labels each, and says the
  probability of each label for itself -> columns `labels` and `probabilities`;
- `advice()`: a sentence on what it assumes of the rows or which to label next, printed once it is fitted.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from raypipe.contracts.estimator import Estimator

METHODS = {
    "nearest-centroid": "nearest_centroid:NearestCentroid",
    "logistic-regression": "logistic_regression:LogisticRegression",
    "open-set": "open_set:OpenSetHead",
    "ngram-linear": "ngram_linear:NGramLinear",
    "pooled-naive-bayes": "pooled_naive_bayes:PooledNaiveBayes",
    "singular-kernel": "singular_kernel:SingularKernel",
    "rbf-prototypes": "rbf_prototypes:RBFPrototypes",
    "diffusion-classifier": "diffusion_classifier:DiffusionClassifier",
    "st-protopnet": "st_protopnet:STProtoPNet",
    "teen": "teen:TEEN",
    "smote": "smote:SMOTE",
    "smote-mixed": "smote_mixed:MixedSMOTE",
    "rcal": "rcal:RCAL",
    "loki": "loki:Loki",
    "category-queries": "category_queries:CategoryQueries",
    "one-vs-all": "one_vs_all:OneVsAll",
    "fold-se": "fold_se:FoldSE",
    "ss3": "ss3:SS3",
    "tsetlin": "tsetlin:TsetlinMachine",
    "shrinkmatch": "shrinkmatch:ShrinkMatch",
    "imbalanced-self-training": "imbalanced_self_training:ImbalancedSelfTraining",
    "class-dependent-compression": "class_dependent_compression:ClassDependentCompression",
}
"""Name -> module of this package:class; nothing is imported before it is asked for."""

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]
    """The type of a setting that takes one of these names; a command line shows them all."""


def method_class(name: str) -> type[Estimator]:
    """The class of a name; its module is loaded, and with it scikit-learn.

    Raises
    ------
    ValueError
        If there is no method of that name.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}.")
    module, _, kind = METHODS[name].partition(":")
    found: type[Estimator] = getattr(import_module(f"{__package__}.{module}"), kind)
    return found


def method_of_class(name: str) -> type[Estimator]:
    """The class of that name, such as a fitted folder gives.

    Raises
    ------
    ValueError
        If none is offered.
    """
    for method, where in METHODS.items():
        if where.partition(":")[2] == name:
            return method_class(method)
    raise ValueError(f"a fitted classifier must be one of {', '.join(METHODS)}, got a {name!r}.")
