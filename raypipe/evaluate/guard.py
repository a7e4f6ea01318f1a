"""Run a program under limits, in a process of its own: python guard.py PROGRAM DONE SECONDS BYTES < TOKEN.

It is the child of `programs.py` and imports nothing of the project. DONE is written with TOKEN only where the program
came to its end: a program that leaves early with status 0 hasn't passed its tests.
"""

import os
import resource
import sys


def main() -> None:
    """Set the limits, forget what is known, run."""
    program, done, seconds, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    token = sys.stdin.read()
    for limit, value in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # starts nothing; of no effect for root
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (value, value))
    with open(program, encoding="utf-8") as file:
        code = compile(file.read(), "program.py", "exec")
    sys.argv = ["program.py"]
    exec(code, {"__name__": "__main__"})
    with open(done, "w", encoding="utf-8") as file:
        file.write(token)
    sys.stdout.flush()
    os._exit(0)  # threads that it left behind don't matter


if __name__ == "__main__":
    main()
