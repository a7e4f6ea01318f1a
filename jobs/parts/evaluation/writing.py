"""Questions that are answered in writing, and programs that are run against their tests."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.evaluate.code_tasks import CodeTask
from raypipe.evaluate.open_questions import OpenQuestion, prompt_of
from raypipe.evaluate.pass_at_k import pass_at_k
from raypipe.evaluate.programs import ProgramLimits, run_program

from .model import EvaluatedModel
from .suite import Json, digest_of, table_of_items

READINGS = ("strict", "flexible")


@dataclass(frozen=True)
class Generation:
    """Questions after some examples; the likeliest text is read strictly and flexibly."""

    name: str
    questions: list[OpenQuestion]
    examples: list[OpenQuestion]
    new_tokens: int
    kind: ClassVar[str] = "generation"

    def __len__(self) -> int:
        return len(self.questions)

    def digest(self) -> str:
        """Of questions and examples."""
        return digest_of(self.questions, self.examples, self.new_tokens)

    def prompts(self) -> list[str]:
        """What the model goes on with."""
        return [prompt_of(question, self.examples) for question in self.questions]

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """What was written, and whether it is right."""
        written = model.write(self.prompts(), [0] * len(self), temperature=0.0)
        right = [one.right(text) for one, text in zip(self.questions, written, strict=True)]
        columns = {reading: [of[reading] for of in right] for reading in READINGS}
        names, groups = [one.name for one in self.questions], [one.group for one in self.questions]
        accepted = [list(one.accepted) for one in self.questions]
        return table_of_items(names, groups, accepted=accepted, written=written, **columns)

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """Whether each reading is right."""
        return {reading: np.array(items[reading].to_pylist(), bool) for reading in READINGS}

    def about(self) -> Json:
        """How many examples were shown."""
        return {"examples": len(self.examples)}


@dataclass(frozen=True)
class Code:
    """Programming tasks; of each task so many programs are sampled and run."""

    name: str
    tasks: list[CodeTask]
    samples: int
    k: tuple[int, ...]
    temperature: float
    limits: ProgramLimits
    seed: int
    new_tokens: int
    kind: ClassVar[str] = "code"

    def __len__(self) -> int:
        return len(self.tasks)

    def digest(self) -> str:
        """Of tasks, sampling and limits."""
        sampling = (self.samples, self.k, self.temperature, self.seed, self.new_tokens)
        return digest_of(self.tasks, sampling, self.limits)

    def prompts(self) -> list[str]:
        """What the model goes on with."""
        return [task.prompt for task in self.tasks]

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """What was written, and how each program ended."""
        prompts = [task.prompt for task in self.tasks for _ in range(self.samples)]
        seeds = [self.seed + at for at in range(len(prompts))]
        written = model.write(prompts, seeds, temperature=self.temperature if self.samples > 1 else 0.0)
        ended = []
        for at, text in enumerate(written):
            model.heed()
            ended.append(run_program(self.tasks[at // self.samples].program(text), self.limits))
        by_task = range(0, len(prompts), self.samples)
        names, groups = [task.name for task in self.tasks], [task.group for task in self.tasks]
        return table_of_items(
            names, groups, written=[written[at : at + self.samples] for at in by_task],
            ended=[ended[at : at + self.samples] for at in by_task],
        )  # fmt: skip

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """pass@k of each task."""
        n_passed = [sum(one == "passed" for one in of) for of in items["ended"].to_pylist()]
        return {f"pass@{k}": np.array([pass_at_k(self.samples, n, k) for n in n_passed]) for k in self.k}

    def about(self) -> Json:
        """How many programs of a task were run, and whether the network was taken away."""
        return {"samples": self.samples, "network": not self.limits.needs_no_network}
