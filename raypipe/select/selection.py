"""The settings of a selection: each part is declared where it is read, and put together here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from raypipe.select.eligibility import Eligibility
from raypipe.select.ranking.arms import Arm, Choosing, Weighing
from raypipe.select.refuse import refuse_unless_some
from raypipe.select.rows import REGRESSORS, Regressor
from raypipe.select.rules.published import RULE_SETS, RuleSet
from raypipe.settings.identity import counts_as
from raypipe.settings.nested import built, settings_of

STAGE = "selection"


def arm_stage(arm: str) -> str:
    """The name of an arm's folder: "random" -> "selection-random"; "selection" stays."""
    return arm if arm == STAGE else f"{STAGE}-{arm}"


def _if_left_out(stage: str | None) -> Mapping[str, Any]:
    return {"leave_out": stage} if stage is not None else {}  # selections from before it are what they were


def _if_kept(condition: str | None) -> Mapping[str, Any]:
    return {"keep": condition} if condition is not None else {}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows of a scored corpus are selected, and what each row weighs in training."""

    scores: str = "scores"
    """Folder of the run that holds the scores."""
    eligibility: Eligibility = Eligibility()
    choosing: Choosing = Choosing()
    adjust: tuple[Regressor, ...] = ()
    """Rank by what these leave unexplained of the score's rank inside a domain: loss, length (scored tokens), zlib."""
    weighing: Weighing = Weighing()
    arms: tuple[Arm, ...] = get_args(Arm)
    """Controls written beside the selection, each with its number of tokens in every domain."""
    leave_out: str | None = field(default=None, metadata=counts_as(_if_left_out))
    """Stage of the run whose skipped rows are never seen, as decontamination; they are known by their text."""
    rules: tuple[RuleSet, ...] = field(default=(), metadata=counts_as(lambda sets: {"rules": sets} if sets else {}))
    """Published rules that a row must keep to be seen at all, over the columns of describe_corpus. Repeatable."""
    keep: str | None = field(default=None, metadata=counts_as(_if_kept))
    """SQL condition on columns of any stage (STAGE.COLUMN where several have one of that name), `duplicate`, and `rank`
    or SCORE_rank (1: the best of its domain); other rows are never seen."""
    seed: int = 0
    """Decides the held-out rows, ties, the random arm and the draws of `--sampling temperature`."""

    def of_scores(self, card: Mapping[str, Any], columns: Sequence[str]) -> "Selection":
        """These settings with what the scores' card says of the column to rank by."""
        return replace(self, eligibility=self.eligibility.of_scores(card, columns))

    def check_arms(self, columns: Sequence[str]) -> None:
        """Refuse arms of scores that have only these columns.

        Raises
        ------
        KeyError
            If an arm needs a column that isn't there.
        """
        if "lowest-loss" in self.arms and "loss" not in columns:
            others = [arm for arm in self.arms if arm != "lowest-loss"]
            raise KeyError(
                "arm lowest-loss needs the column 'loss', which the scores don't have; name the other arms: --arms "
                f"{' '.join(others) or 'random'}."
            )

    @property
    def further(self) -> tuple[str, ...]:
        """The columns of the scores that the arms and the adjustment need beside the score."""
        names = [REGRESSORS[name] for name in self.adjust]
        return tuple(dict.fromkeys(names + (["loss"] if "lowest-loss" in self.arms else [])))

    def check(self) -> None:
        """Refuse settings that make no sense.

        Raises
        ------
        ValueError
            Naming the setting, its rule and its value.
        """
        self.eligibility.check()
        self.choosing.check()
        self.weighing.check()
        refuse_unless_some(self.arms, "arms", get_args(Arm))
        refuse_unless_some(self.adjust, "adjust", get_args(Regressor))
        refuse_unless_some(self.rules, "rules", RULE_SETS)

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Selection":
        """The settings that a card holds, among other things."""
        own = {name: values[name] for name in settings_of(cls) if name in values}
        return built(cls, **{name: tuple(value) if isinstance(value, list) else value for name, value in own.items()})
