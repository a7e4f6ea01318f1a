"""What Ops share whose batches are so many tokens of a language model."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.contracts.op import TOKENS
from raypipe.lm.plan import plan_batches


class TokenOp:
    """The part of an Op that is the same for all of them: what it prepares has `n_tokens`, null of rows left out."""

    unit: ClassVar[str] = TOKENS
    token_budget: int

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows that go through the model together; rows with a reason are in none."""
        lengths = self.lengths(prepared)
        lengths[pc.is_valid(prepared[REASON]).to_numpy()] = 0
        return plan_batches(lengths, budget=self.token_budget)

    def lengths(self, prepared: pa.Table) -> np.ndarray:
        """What each row takes of the budget: [n] int; 0: nothing, and it is in no batch."""
        lengths: np.ndarray = pc.fill_null(prepared["n_tokens"], 0).to_numpy().copy()
        return lengths

    def cost(self, prepared: pa.Table) -> int:
        """Tokens of these rows that the model reads."""
        return int(pc.sum(prepared["n_tokens"]).as_py() or 0)

    def limits(self) -> dict[str, int]:
        """The token budget."""
        return {"token_budget": self.token_budget}
