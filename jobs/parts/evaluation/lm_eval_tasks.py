"""Tasks of lm-eval, answered by this project's model: extra `eval`.

Source: L. Gao et al., A framework for few-shot language model evaluation, https://github.com/EleutherAI/lm-evaluation-harness.
Prompts, splits, filters and metrics are lm-eval's; likelihoods come from the packed path, written answers from the
sampler.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.evaluate.benchmarks import Item
from raypipe.evaluate.multiple_choice import answers
from raypipe.evaluate.open_questions import cut_at
from raypipe.evaluate.perplexity import document_losses

from .model import EvaluatedModel
from .suite import Json, digest_of, table_of_items

VALUE = "value "
"""How columns begin that hold a metric of lm-eval's."""


@dataclass(frozen=True)
class LmEvalTask:
    """One task, by its name."""

    name: str
    path: str | None
    """Folder of task files beside lm-eval's own."""
    limit: int | None
    kind: ClassVar[str] = "lm-eval"

    def __len__(self) -> int:
        return self.limit or 0

    def digest(self) -> str:
        """Of the task's name and lm-eval's version."""
        from importlib.metadata import version

        return digest_of(self.name, self.path, self.limit, version("lm-eval"))

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """A row for each document of the task, with each metric that is a number of it.

        Raises
        ------
        ValueError
            If there is no such task, or it has no metric of single documents.
        """
        import lm_eval
        from lm_eval.tasks import TaskManager

        manager = TaskManager(include_path=self.path)
        if self.name not in manager.all_tasks:
            raise ValueError(
                f"lm_eval_tasks must be tasks that lm-eval has, or files in --lm-eval-path: {self.name!r}."
            )
        out = lm_eval.simple_evaluate(
            adapter(model), tasks=[self.name], limit=self.limit, bootstrap_iters=0, log_samples=True,
            task_manager=manager,
        )  # fmt: skip
        rows = [(task, one) for task, of in out["samples"].items() for one in of]
        metrics = sorted({name for _, one in rows for name in one.get("metrics", ()) if _is_number(one.get(name))})
        if not metrics:
            raise ValueError(f"task {self.name!r} must have a metric of single documents, which are compared here.")
        columns = {VALUE + name: [float(one[name]) for _, one in rows] for name in metrics}
        return table_of_items([f"{task}:{one['doc_id']}" for task, one in rows], [task for task, _ in rows], **columns)

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """The metrics."""
        names = [name for name in items.column_names if name.startswith(VALUE)]
        return {name.removeprefix(VALUE): items[name].to_numpy() for name in names}

    def about(self) -> Json:
        """Nothing more."""
        return {}


def check_lm_eval() -> None:
    """Refuse tasks of lm-eval where it isn't installed.

    Raises
    ------
    ValueError
        With the remedy.
    """
    if find_spec("lm_eval") is None:
        raise ValueError("--lm-eval-tasks needs lm-eval, which isn't installed; pip install 'raypipe[eval]'.")


def adapter(model: EvaluatedModel) -> Any:
    """The model as lm-eval's LM."""
    from lm_eval.api.model import LM

    class Adapter(LM):
        """Answers lm-eval's three kinds of request."""

        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            """Log-likelihood of each continuation; whether it is the greedy one isn't computed, and never said."""
            items, found = list[Item](), list[tuple[float, bool]]()
            for context, of in groupby((request.args for request in requests), key=lambda one: one[0]):
                ways = tuple(way for _, way in of)
                items.append(Item(f"request {len(items)}", (context,) * len(ways), ways, ways, 0, "all"))
            for one in answers(model.decoder, model.vocabulary, items, **model.sizes()):
                found += [(float(value), False) for value in one.log_likelihood]
            return found

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            """Log-likelihood of each whole text."""
            texts = [request.args[0] for request in requests]
            losses = document_losses(model.decoder, model.vocabulary, texts, **model.sizes())
            return [-float(nll) for nll in losses.nll]

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            """The likeliest text after each prompt, up to the task's stops."""
            texts = model.write([request.args[0] for request in requests], [0] * len(requests), temperature=0.0)
            stops = [_stops(request.args[1]) for request in requests]
            return [cut_at(text, of) for text, of in zip(texts, stops, strict=True)]

    return Adapter()


def _stops(settings: dict[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.number)
