"""A teacher's scores of a query's candidates, learned as a distribution over them.

Source: KaLM-Embedding-V2, arXiv 2506.20923, contrastive distillation: KL(softmax(teacher / tau) || softmax(student /
tau)) over the same candidates; the same listwise form is one way to read the soft labels of LG-ANNA-Embedding, arXiv
2506.07438, which doesn't print its own.
Departure: the candidates are a row's positive and its own negatives, for which a teacher can be asked ahead; teacher
and student may have temperatures of their own, since a reranker's scores aren't cosines.
Cost: O(n (1 + m) d).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def teacher_kl(
    queries: "torch.Tensor",
    positives: "torch.Tensor",
    negatives: "torch.Tensor",
    scores: "torch.Tensor",
    *,
    scores_temperature: float,
    temperature: float,
) -> "torch.Tensor":
    """KL of the teacher's distribution from the student's, in nats: scores [n, 1 + m], positive first -> [n] float32.

    0 where cosines over `temperature` differ from scores over `scores_temperature` by a constant of the row.

    >>> import torch
    >>> query = positive = torch.tensor([[1.0, 0.0]])
    >>> negative = torch.tensor([[[0.0, 1.0]]])
    >>> temperatures = {"scores_temperature": 0.5, "temperature": 0.5}
    >>> same, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])  # the cosines are 1 and 0
    >>> found = [teacher_kl(query, positive, negative, scores, **temperatures) for scores in (same, other)]
    >>> [round(abs(loss.item()), 3) for loss in found]
    [0.0, 1.523]
    """
    import torch
    from torch.nn import functional

    candidates = functional.normalize(torch.cat([positives[:, None], negatives], dim=1).float(), dim=2)
    cosines = (candidates * functional.normalize(queries.float(), dim=1)[:, None]).sum(dim=2)
    student = (cosines / temperature).log_softmax(dim=1)
    teacher = (scores.float() / scores_temperature).log_softmax(dim=1)
    return functional.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
