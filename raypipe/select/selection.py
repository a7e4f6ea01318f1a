"""The settings of a selection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from raypipe.contracts.score import OLDER, scores_of

STAGE = "selection"
Arm = Literal["random", "longest", "lowest-loss"]
Regressor = Literal["loss", "length", "zlib"]


def arm_stage(arm: str) -> str:
    """The name of an arm's folder: "random" -> "selection-random"; "selection" stays."""
    return arm if arm == STAGE else f"{STAGE}-{arm}"


@dataclass(frozen=True)
class Selection:
    """Which rows of a scored corpus are selected, and what each row weighs in training."""

    scores: str = "scores"
    """Folder of the run that holds the scores."""

    score: str | None = None
    """Column of the scores to rank by; None: the one that their card names, whose better end it knows."""

    lower_is_better: bool = False
    """The best rows are those with the lowest score; for a column of which the card doesn't tell."""

    share: float = 0.2
    """Fraction of each domain's eligible rows to select, above 0 and at most 1 (the paper's: 0.2)."""

    share_of: Literal["documents", "tokens"] = "documents"
    """What the share is a fraction of: eligible documents, or their tokens (whole documents' `n_tokens_total`)."""

    sampling: Literal["top", "temperature"] = "top"
    """The best rows, or a seeded draw without replacement with chances that grow as rank ** (1 / temperature)."""

    temperature: float = 1.0
    """For `--sampling temperature`: towards 0 the best rows are taken, a large one draws evenly."""

    adjust: tuple[Regressor, ...] = ()
    """Rank by what these leave unexplained of the score's rank inside a domain: loss, length (scored tokens), zlib."""

    min_tokens: int = 2
    """Rows with fewer scored tokens are not eligible."""

    min_loss: float = 0.0
    """Floor of the loss in (loss_masked - loss) / loss, where that is the score, in nats a token; 0: as scored."""

    min_domain_rows: int = 100
    """Domains with fewer eligible rows are ranked together, as one group called "(pooled)"."""

    holdout: float = 0.005
    """Fraction of texts, chosen by their hash, that no arm selects or weighs; at least 0 and below 1."""

    mix: Literal["upsample", "keep"] = "upsample"
    """Train on the full corpus plus the selected rows once more (the paper's), or on the selected rows only."""

    extra_copies: float = 1.0
    """For `--mix upsample`: how many further times a selected row is seen."""

    arms: tuple[Arm, ...] = get_args(Arm)
    """Controls written beside the selection, each with its number of tokens in every domain."""

    leave_out: str | None = None
    """Stage of the run whose skipped rows are never seen, as decontamination; they are known by their text."""

    seed: int = 0
    """Decides the held-out rows, ties, the random arm and the draws of `--sampling temperature`."""

    exact_rows: int = 50_000_000
    """Domains with more eligible rows are ranked by a histogram; the card states its largest rank error."""

    def of_scores(self, card: Mapping[str, Any], columns: Sequence[str]) -> "Selection":
        """These settings with what the scores' card says of the column to rank by."""
        known = {score.column: score for score in scores_of(card)} or {score.column: score for score in OLDER}
        first = next((name for name in known if name in columns), next(iter(known)))
        column = first if self.score is None else self.score
        lower = self.lower_is_better or (column in known and not known[column].higher_is_better)
        return replace(self, score=column, lower_is_better=lower)

    @property
    def column(self) -> str:
        """The column to rank by, once it is known."""
        assert self.score is not None, "of_scores comes first"
        return self.score

    def check(self) -> None:
        """Refuse settings that make no sense.

        Raises
        ------
        ValueError
            Naming the setting, its rule and its value.
        """
        _refuse_unless(0 < self.share <= 1, "share", "above 0 and at most 1", self.share)
        _refuse_unless(0 <= self.holdout < 1, "holdout", "at least 0 and below 1", self.holdout)
        _refuse_unless(0 < self.temperature < float("inf"), "temperature", "above 0", self.temperature)
        _refuse_unless(0 <= self.min_loss < float("inf"), "min_loss", "at least 0", self.min_loss)
        _refuse_unless(0 < self.extra_copies < float("inf"), "extra_copies", "above 0", self.extra_copies)
        _refuse_unless(self.exact_rows >= 2, "exact_rows", "at least 2", self.exact_rows)
        hints = get_type_hints(Selection)
        for name in ("share_of", "sampling", "mix"):
            allowed = get_args(hints[name])
            _refuse_unless(getattr(self, name) in allowed, name, f"one of {allowed}", getattr(self, name))
        for name, union in (("arms", Arm), ("adjust", Regressor)):
            chosen, allowed = getattr(self, name), get_args(union)
            valid = set(chosen) <= set(allowed) and len(set(chosen)) == len(chosen)
            _refuse_unless(valid, name, f"some of {allowed}, each once", chosen)

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Selection":
        """The settings that a card holds, among other things."""
        own: dict[str, Any] = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**own | {name: tuple(value) for name, value in own.items() if isinstance(value, list)})

    def flat(self) -> dict[str, object]:
        """The settings as JSON values, for the card."""
        values = {field.name: getattr(self, field.name) for field in fields(Selection)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _refuse_unless(is_valid: bool, name: str, rule: str, value: object) -> None:
    if not is_valid:
        raise ValueError(f"{name} must be {rule}, got {value!r}.")
