"""What those who take part in the scoring benchmark are called, on the command line and in its table."""

from typing import Literal

Contender = Literal["plain32", "plain", "sorted", "single", "alone", "ray"]
NAMES: dict[str, str] = {
    "plain32": "plain transformers loop, float32",
    "plain": "plain transformers loop",
    "sorted": "the same, sorted by length",
    "single": "the same, one document a pass",
    "alone": "raypipe without Ray",
    "ray": "raypipe",
}
