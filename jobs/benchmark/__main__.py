"""Measure raypipe against what it is compared with, in one run: python -m jobs.benchmark NAME [settings]."""

import importlib
import signal
import sys

BENCHMARKS = (
    "scoring",
    "workers",
    "chaos",
    "training",
    "evaluation",
    "embedding",
    "curation",
    "classifiers",
    "duplicates",
    "output_layer",
    "sparsity",
    "gpu",
)


def main(arguments: list[str]) -> None:
    """Run the benchmark that the first argument names."""
    if not arguments or arguments[0] not in BENCHMARKS:
        wants_help = arguments[:1] in (["--help"], ["-h"])
        usage = f"usage: python -m jobs.benchmark {{{','.join(BENCHMARKS)}}} [--help]"
        print(usage, file=sys.stdout if wants_help else sys.stderr)
        sys.exit(0 if wants_help else 2)
    if arguments[0] == "gpu":  # must do with fewer libraries than the settings of the others need
        from .gpu import command

        sys.exit(command.main(arguments[1:]))
    from ..parts import settings
    from ..parts.common import quieten, run_job

    quieten()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is cleared away
    module = importlib.import_module(f".{arguments[0]}", __package__)
    run_job(lambda: module.main(settings.parse(module.Config, arguments[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
