"""What stands around a text that is embedded: a prompt, an instruction, demonstrations.

Sources: KaLM-Embedding-V2 (arXiv 2506.20923), step 1 of its architecture: `Instruct: ... \\n Query: ...`;
LG-ANNA-Embedding (arXiv 2506.07438), query prompt: `Examples {(q, p)} + Instruct: ... + Query: ...`, documents bare.
Departure: the second doesn't print its punctuation; the pairs stand as instruction, query and response, a blank line
between.
"""

from collections.abc import Sequence

TEXT = "{text}"
PLAIN = TEXT


def instructed(instruction: str, demonstrations: Sequence[tuple[str, str]] = ()) -> str:
    """The template of a query: (query, passage) pairs that show the task, the instruction, and the text's place."""
    ask = f"Instruct: {instruction}\nQuery: "
    shown = "".join(f"{ask}{query}\nResponse: {passage}\n\n" for query, passage in demonstrations)
    return f"{shown}{ask}{TEXT}"


def split_template(template: str) -> tuple[str, str]:
    """What stands before and after the text.

    Raises
    ------
    ValueError
        If the text has no place in it, or several.
    """
    if template.count(TEXT) != 1:
        raise ValueError(f"template must hold {TEXT} once, got {template.count(TEXT)} in {template[:80]!r}.")
    before, _, after = template.partition(TEXT)
    return before, after
