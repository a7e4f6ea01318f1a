"""What a submitted job does first on the cluster: see that what pyproject.toml asks for is installed there.

It imports nothing that could be missing, so that this is said in a second, by name, and not by a traceback.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

WRONG = 2


def main(words: list[str]) -> None:
    """Run the job that the first word names; status 2 if something isn't installed here."""
    job, given = words[0], words[1:]
    if lacking := missing(Path("pyproject.toml")):
        print(
            f"error: the cluster's environment lacks {', '.join(lacking)}; install them on all machines with the "
            "clone's constraints.txt (cluster/Dockerfile does), then give the same command.",
            file=sys.stderr,
        )
        sys.exit(WRONG)
    from jobs.__main__ import run

    run(job, given)


def missing(project: Path) -> list[str]:
    """Packages that a project asks for and that aren't here in a version that it takes, with the one that is."""
    asked, found = tomllib.loads(project.read_text(encoding="utf-8"))["project"], []
    for requirement in map(Requirement, asked["dependencies"]):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            here = version(requirement.name)
        except PackageNotFoundError:
            found.append(str(requirement))
            continue
        if not requirement.specifier.contains(here, prereleases=True):
            found.append(f"{requirement} (it has {here})")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
