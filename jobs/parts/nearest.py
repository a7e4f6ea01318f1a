"""Label vectors of a function of kind nearest, from one pass over a run's vectors."""

import numpy as np

from raypipe.corpus import Corpus
from raypipe.label.functions.nearest import Nearest
from raypipe.label.label_vectors import NearestDocuments, label_vectors
from raypipe.report.escape import terminal_text
from raypipe.run.inputs import Sizes
from raypipe.runs.card import Json, finished_card
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of

from .placing import directions_of


def class_vectors(
    function: Nearest, life: Life, stage: str, corpus: Corpus, sizes: Sizes
) -> tuple[np.ndarray, list[str]]:
    """Label vectors [k, d], and for each class a line on how near its documents are; what is unchanged isn't redone."""
    directions = directions_of(function, life.run)
    if not function.documents:
        return directions, [f"{terminal_text(function.name)}: classes are the means of their keywords"]
    source = function.column.partition(".")[0]
    from raypipe.run.gather import GatherStage  # loads Ray

    found = GatherStage(
        life.run, stage, NearestDocuments(function.column, directions, function.documents), corpus, sizes, (source,),
        _identity(function, finished_card(life.run, source)["identity"], corpus, sizes), life.stopping, life.is_owner,
    )()  # fmt: skip
    ends = zip(function.keywords, found.cosine, strict=True)
    lines = [
        f"{terminal_text(function.name)}: {terminal_text(label)} is the mean of {len(cosine)} documents, of cosine "
        f"{cosine[0]:.2f} to {cosine[-1]:.2f} to its keywords"
        for label, cosine in ends
    ]
    return label_vectors(found, min_documents=function.documents, cleans=function.cleans), lines


def _identity(function: Nearest, source: Json, corpus: Corpus, sizes: Sizes) -> Json:
    """The keywords and how many documents, beside what made the vectors."""
    words = {label: list(of) for label, of in function.keywords.items()}
    own = {"keywords": words, "documents": function.documents, "model_sha256": source.get("model_sha256")}
    return identity_of(corpus, sizes, **own)
