"""Questions with candidate answers and what real verifiers say of each, for the study of Weaver: nothing is made up.

Rows have the form that choose_answers reads. Verifiers of choices and of solutions are the sample's language model
(SmolLM2-135M-Instruct), cosines of MiniLM and plain rules, written before any was tried; those of legal questions are
seven language models that others have asked. Descriptions of Debian packages come along; other sets lie in the folder
of --data:

- `arc_easy`, `openbook_qa`: Parquet files of `query`, `choices` and `gold`;
- `gsm8k_solutions`: example_model_solutions.jsonl of github.com/openai/grade-school-math (MIT), four systems' solutions
  of its 1,319 test problems;
- `lawma_answers`: folders of notebooks/results/model_responses of github.com/socialfoundations/lawma, a file a task.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .named_texts import minilm, named_texts
from .open_data import real

Row = dict[str, Any]
MAX_TOKENS = 1024
IS_RIGHT = "{question}\nProposed answer: {answer}\nIs the proposed answer correct, yes or no? Answer:"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SUM = re.compile(r"<<([-+*/(). \d]+)=([-\d.]+)>>")


def rows_of(name: str, n: int, model: str | None) -> list[Row]:
    """Questions of a set, `n` at most, drawn once for all seeds; a model's verifiers only where one is given.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in READERS:
        raise ValueError(f"data must be one of {', '.join(READERS)}, got {name!r}.")
    return READERS[name](n, model)


def _drawn(n_rows: int, n: int) -> list[int]:
    return sorted(np.random.default_rng(0).permutation(n_rows)[:n].tolist())


def _packages(n: int, model: str | None) -> list[Row]:
    """What is a package for? The class is one of five."""
    texts = named_texts("debtags", n)
    X, k = minilm(texts.texts, 48), len(texts.names)
    words = [minilm(of, 48) for of in texts.keywords]
    cosines = {
        "cosine to the name": X @ minilm(texts.names, 48).T,
        "cosine to the mean of keywords": X @ np.stack([of.mean(axis=0) for of in words]).T,
        "cosine to the nearest keyword": np.stack([(X @ of.T).max(axis=1) for of in words], axis=1),
    }
    found = []
    for at, text in enumerate(texts.texts):
        hits = [sum(text.lower().count(word.lower()) for word in of) for of in texts.keywords]
        scores = {name: of[at].tolist() for name, of in cosines.items()}
        scores |= {"keywords that occur": list(map(float, hits)), "the name occurs": _occurs(texts.names, text)}
        found.append(_row(f"{text[:200]}\nThis package is for", texts.names, int(texts.y[at]), k, scores))
    return _judged(found, model, asks=False)


def _occurs(names: Sequence[str], text: str) -> list[float]:
    return [float(name.split()[-1].rstrip("s").lower() in text.lower()) for name in names]


def _row(question: str, candidates: Sequence[str], gold: int, k: int, scores: dict[str, list[float]]) -> Row:
    return {
        "question": question, "candidates": list(candidates), "correct": [at == gold for at in range(k)],
        "scores": scores,
    }  # fmt: skip


def _choices(name: str) -> Callable[[int, str | None], list[Row]]:
    def read(n: int, model: str | None) -> list[Row]:
        """Questions with four choices."""
        import pyarrow.parquet as pq

        rows = pq.read_table(sorted(real(name).glob("*.parquet"))).to_pylist()
        found = []
        for at in _drawn(len(rows), n):
            question, choices = rows[at]["query"].strip(), rows[at]["choices"]
            gold, k = rows[at]["gold"], len(choices)
            found.append(_row(f"{question}\nAnswer:", choices, gold, k, _of_words(question, choices)))
        return _judged(found, model, asks=True)

    return read


def _of_words(question: str, answers: Sequence[str]) -> dict[str, list[float]]:
    """What can be said without a language model: how alike question and answer are, and the length."""
    asked = set(re.findall(r"\w+", question.lower()))
    words = [re.findall(r"\w+", one.lower()) for one in answers]
    X = minilm((question, *answers), 96)
    return {
        "cosine to the question": (X[1:] @ X[0]).tolist(),
        "words of the question": [len(asked & set(of)) / max(1, len(of)) for of in words],
        "length": [float(len(one)) for one in answers],
    }


def _solutions(n: int, model: str | None) -> list[Row]:
    """Word problems with the solutions of four systems, whose order is drawn anew for each problem."""
    lines = (real("gsm8k_solutions") / "example_model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    found = list[Row]()
    for at in _drawn(len(lines), n):
        values = json.loads(lines[at])
        given = [one for one in values.values() if isinstance(one, dict)]
        given = [given[place] for place in np.random.default_rng(at).permutation(len(given))]
        texts, question = [one["solution"] for one in given], values["question"]
        scores = _of_sums(question, texts) | _of_words(question, texts)
        found.append({
            "question": question, "candidates": texts, "correct": _consistent(texts, given),
            "answers": [_final(text) for text in texts], "scores": scores,
        })  # fmt: skip
    return _judged(found, model, asks=False)


def _consistent(texts: Sequence[str], given: Sequence[Row]) -> list[bool]:
    """Whether each is right; equal final answers alike (one was marked unlike in a few)."""
    right = {_final(text) for text, one in zip(texts, given, strict=True) if one["is_correct"]}
    return [_final(text) in right for text in texts]


def _final(text: str) -> str:
    said = _NUMBER.findall(text.rsplit("A:", 1)[-1].replace(",", ""))
    return f"{float(said[0]):g}" if said else text[-40:]


def _of_sums(question: str, texts: Sequence[str]) -> dict[str, list[float]]:
    """Whether sums hold, numbers of the question are used, and the last sum is what is answered."""
    asked = set(_NUMBER.findall(question.replace(",", "")))
    sums = [_SUM.findall(text) for text in texts]
    return {
        "sums that hold": [np.mean([_holds(*one) for one in of]).item() if of else 0.0 for of in sums],
        "numbers of the question": [
            len(asked & set(_NUMBER.findall(text.replace(",", "")))) / max(1, len(asked)) for text in texts
        ],
        "last sum is the answer": [
            float(bool(of) and _final(f"A: {of[-1][1]}") == _final(text)) for of, text in zip(sums, texts, strict=True)
        ],
        "whole number": [float("." not in _final(text)) for text in texts],
        "steps": [float(len(of)) for of in sums],
    }


def _holds(left: str, right: str) -> bool:
    """Whether a sum of numbers and signs, as written between << and >>, is right."""
    try:
        return bool(abs(_value(left) - float(right)) < 0.011)
    except (ArithmeticError, ValueError, IndexError):
        return False


def _value(text: str) -> float:
    """Of a sum of numbers, + - * / and brackets.

    Raises
    ------
    ValueError
        If it is none.
    """
    signs = re.findall(r"\d+(?:\.\d*)?|\.\d+|[-+*/()]", text)

    def total() -> float:
        value = product()
        while signs and signs[0] in "+-":
            value = value + product() if signs.pop(0) == "+" else value - product()
        return value

    def product() -> float:
        value = one()
        while signs and signs[0] in "*/":
            value = value * one() if signs.pop(0) == "*" else value / one()
        return value

    def one() -> float:
        sign = signs.pop(0)
        if sign == "-":
            return -one()
        if sign != "(":
            return float(sign)
        value = total()
        signs.pop(0)
        return value

    found = total()
    if signs:
        raise ValueError(f"a sum must end, {signs} is left of {text!r}.")
    return found


def _legal(n: int, model: str | None) -> list[Row]:
    """What seven language models answered to questions about court opinions; each gives all answers a probability.

    Left out are tasks whose answers have several letters, which have no probabilities, and those with more answers than
    letters: there each family of models has signs of its own, and so another truth.
    """
    folder, found = real("lawma_answers"), list[Row]()
    models = sorted(path.name for path in folder.iterdir() if path.is_dir())
    tasks = sorted(path.name for path in (folder / models[0]).glob("*.json"))
    each = -(-n // len(tasks))
    for number, task in enumerate(tasks):
        said = [json.loads((folder / name / task).read_text(encoding="utf-8")) for name in models]
        order = np.random.default_rng([0, number]).permutation(len(said[0]))
        if any(_truths(of) != _truths(said[0]) for of in said[1:]):
            continue
        weighed = [at for at in order if all("logprobs" in of[at] for of in said)]
        found += [_legal_row(task, models, [of[at] for of in said]) for at in weighed[:each]]
    return [found[at] for at in _drawn(len(found), n)]


def _truths(said: Sequence[Row]) -> list[str]:
    return [str(one["ground_truth"]).strip() for one in said]


def _legal_row(task: str, models: Sequence[str], said: Sequence[Row]) -> Row:
    """Candidates are the models' likeliest answers."""
    likeliest = [max(one["logprobs"], key=one["logprobs"].get) for one in said]
    shares, truth = [_shares(one["logprobs"]) for one in said], said[0]["ground_truth"].strip()
    return {
        "question": f"{task.removesuffix('.json')} {said[0]['id']}",
        "candidates": [answer.strip() for answer in likeliest],
        "correct": [answer.strip() == truth for answer in likeliest],
        "scores": {
            name: [of.get(answer, 0.0) for answer in likeliest] for name, of in zip(models, shares, strict=True)
        },
    }


def _shares(logs: dict[str, float]) -> dict[str, float]:
    most = max(logs.values())
    total = sum(np.exp(value - most) for value in logs.values())
    return {name: float(np.exp(value - most) / total) for name, value in logs.items()}


def _judged(rows: list[Row], model: str | None, *, asks: bool) -> list[Row]:
    """With what the language model finds: likelihoods three ways and, if asked, whether an answer is right."""
    if model is None:
        return rows
    ways = [(row["question"], tuple(f" {one}" for one in row["candidates"])) for row in rows]
    found = _likelihoods(model, ways)
    alone = _likelihoods(model, [("Answer:", of) for _, of in ways])
    for row, own, without in zip(rows, found, alone, strict=True):
        row["scores"] |= {
            "likelihood": own.log_likelihood.tolist(),
            "likelihood a token": (own.log_likelihood / own.n_tokens).tolist(),
            "what the question adds": (own.log_likelihood - without.log_likelihood).tolist(),
        }
    if asks:
        asked = [
            (IS_RIGHT.format(question=row["question"].removesuffix("\nAnswer:"), answer=one), (" no", " yes"))
            for row in rows for one in row["candidates"]
        ]  # fmt: skip
        said = iter(_likelihoods(model, asked))
        for row in rows:
            both = [next(said).log_likelihood for _ in row["candidates"]]
            row["scores"]["asked whether it is right"] = [float(of[1] - of[0]) for of in both]
    return rows


def _likelihoods(model: str, ways: Sequence[tuple[str, tuple[str, ...]]]) -> list[Any]:
    """Of ways to go on after texts."""
    from raypipe.evaluate.benchmarks import Item
    from raypipe.evaluate.multiple_choice import answers
    from raypipe.lm.decoder import Decoder
    from raypipe.models.causal import open_model
    from raypipe.models.tokenizer import open_vocabulary

    items = [Item("asked", (text,) * len(of), of, of, 0, "all") for text, of in ways]
    decoder = Decoder(open_model(model).weights(dtype="float32", device="cpu"), max_tokens=MAX_TOKENS)
    return answers(decoder, open_vocabulary(model), items, max_tokens=MAX_TOKENS, budget=2 * MAX_TOKENS)


READERS: dict[str, Callable[[int, str | None], list[Row]]] = {
    "debtags": _packages, "arc_easy": _choices("arc_easy"), "openbook_qa": _choices("openbook_qa"),
    "gsm8k_solutions": _solutions, "lawma_answers": _legal,
}  # fmt: skip
