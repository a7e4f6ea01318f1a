"""Which rows of a scores folder compete, and by which of its columns: the settings that `rows` reads them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raypipe.contracts.score import OLDER, scores_of
from raypipe.select.refuse import refuse_unless


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Which rows compete, and by which score."""

    score: str | None = None
    """Column of the scores to rank by; None: the one that their card names, whose better end it knows."""
    lower_is_better: bool = False
    """The best rows are those with the lowest score; for a column of which the card doesn't tell."""
    min_tokens: int = 2
    """Rows with fewer scored tokens are not eligible."""
    min_loss: float = 0.0
    """Floor of the loss in (loss_masked - loss) / loss, where that is the score, in nats a token; 0: as scored."""
    min_domain_rows: int = 100
    """Domains with fewer eligible rows are ranked together, as one group called "(pooled)"."""
    holdout: float = 0.005
    """Fraction of texts, chosen by their hash, that no arm selects or weighs; at least 0 and below 1."""
    exact_rows: int = 50_000_000
    """Domains with more eligible rows are ranked by a histogram; the card states its largest rank error."""

    def of_scores(self, card: Mapping[str, Any], columns: Sequence[str]) -> "Eligibility":
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
        """Refuse settings that make no sense; raises as `refuse_unless`."""
        refuse_unless(0 <= self.holdout < 1, "holdout", "at least 0 and below 1", self.holdout)
        refuse_unless(0 <= self.min_loss < float("inf"), "min_loss", "at least 0", self.min_loss)
        refuse_unless(self.exact_rows >= 2, "exact_rows", "at least 2", self.exact_rows)
