"""Every job by its name: `raypipe NAME [settings]` where raypipe is installed, `python -m jobs NAME` in a clone."""

import ast
import difflib
import importlib
import signal
import sys
from pathlib import Path

JOBS = (
    "curate",
    "score_corpus",
    "select_corpus",
    "find_heads",
    "embed_corpus",
    "tokenize_corpus",
    "chunk_corpus",
    "join_chunks",
    "fit_classifier",
    "classify_corpus",
    "classify_texts",
    "fit_bags",
    "score_bags",
    "predict",
    "gather",
    "learn_functions",
    "label_corpus",
    "label_sections",
    "augment_texts",
    "label_concept",
    "choose_answers",
    "describe_corpus",
    "decontaminate",
    "find_duplicates",
    "pretrain",
    "finetune",
    "tune",
    "ablate",
    "debate",
    "weak_to_strong",
    "evaluate_model",
    "evaluate_retrieval",
    "mine_negatives",
    "study",
    "show_run",
    "benchmark",
    "submit",
)


def main() -> None:
    """Run the job that the first word of the command line names; without one, say which there are."""
    given = sys.argv[1:] or [""]
    if (name := given[0].replace("-", "_")) in JOBS:
        run(name, given[1:])
        return
    if given[0] == "--completion":
        complete(given[1:])
        return
    wants_help = given[0] in ("--help", "-h")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it without a word
    print("\n".join(usage()), file=sys.stdout if wants_help else sys.stderr)
    if given[0] and not wants_help:
        near = difflib.get_close_matches(name, JOBS, n=1)
        print(f"error: no job {given[0]!r}{f'; did you mean {near[0]!r}?' if near else '.'}", file=sys.stderr)
    sys.exit(0 if wants_help else 2)


def run(name: str, words: list[str]) -> None:
    """Run a job on the words behind its name, and end the process as it does."""
    if name == "benchmark":
        importlib.import_module(".benchmark.__main__", __package__).main(words)
        return
    from .parts import settings
    from .parts.common import run_job

    if name == "submit":
        run_job(lambda: importlib.import_module(".submit", __package__).main(words))
    sys.argv = [f"raypipe {name}", *words]
    job = importlib.import_module(f".{name}", __package__)
    run_job(lambda: job.main(settings.parse(job.Config)))


def complete(words: list[str]) -> None:
    """Print the script that completes this command in a shell; the settings of every job are loaded for it."""
    from .parts.completion import SHELLS, flags_of, script

    if len(words) != 1 or words[0] not in SHELLS:
        raise SystemExit(f"--completion must be of one of {', '.join(SHELLS)}, got {' '.join(words) or 'none'}.")
    print(script(words[0], {name: flags_of(name) for name in JOBS}), end="")


def usage() -> list[str]:
    """The jobs, each with the first line of what it says of itself; none is imported."""
    return [
        "usage: raypipe NAME [settings], raypipe NAME --help, or raypipe --completion bash|zsh",
        *(f"  {name:<16} {_about(name)}" for name in JOBS),
    ]


def _about(name: str) -> str:
    here = Path(__file__).parent
    file = here / f"{name}.py" if (here / f"{name}.py").exists() else here / name / "__main__.py"
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].partition(": python -m")[0].rstrip(".")


if __name__ == "__main__":
    main()
