"""Attention heads by number, and which of them a model can have neutralised."""

from collections.abc import Sequence

Head = tuple[int, int]  # (layer, head), both from 0


def check_head(head: Head, *, n_layers: int, n_heads: int) -> None:
    """Refuse a head that a model of these sizes doesn't have.

    Raises
    ------
    ValueError
        With the head and the sizes.
    """
    if not all(type(at) is int and 0 <= at < n for at, n in zip(head, (n_layers, n_heads), strict=True)):
        raise ValueError(f"a head must be within {n_layers} layers x {n_heads} heads, got {head}.")


def check_heads(heads: Sequence[Head], *, n_layers: int, n_heads: int, where: str) -> None:
    """Refuse a set of heads that a score can't be made with: none at all, one that isn't there, one named twice.

    Raises
    ------
    ValueError
        With where they come from.
    """
    if not heads:
        raise ValueError(f"{where} must name at least one head: with none neutralised every influence is 0.")
    for head in heads:
        try:
            check_head(head, n_layers=n_layers, n_heads=n_heads)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if twice := [head for at, head in enumerate(heads) if head in heads[:at]]:
        raise ValueError(f"{where} must name a head once, got {twice[0]} twice.")
