"""A driver for tests that kill it: python -m tests.run.driver ROOT [BATCH_S [ONCE]]; its files are under ROOT."""

import logging
import sys

from raypipe.run.event_loop import StageFailed
from raypipe.run.stage import Stopped, is_complete
from raypipe.runs.lock import Lock
from raypipe.runs.signals import orderly_stop
from raypipe.storage.folder import Folder

from .fake_op import FakeOp
from .stages import make_stage


def main(root: str, batch_s: str = "0", once: str | None = None, grace_s: str = "60") -> int:
    """Run the stage under a lock, as a job does."""
    logging.basicConfig(level=logging.INFO)
    run = Folder(f"{root}/run")
    with Lock(run) as lock, orderly_stop() as (stopping, status):
        stage = make_stage(
            root, FakeOp(batch_s=float(batch_s), once=once or None), stopping=stopping, grace_s=float(grace_s),
            is_owner=lambda: not lock.is_lost,
        )  # fmt: skip
        try:
            return 0 if is_complete(stage()) else 1
        except Stopped as stop:
            print(stop, file=sys.stderr)
            return status["code"]
        except StageFailed as failure:
            print(failure, file=sys.stderr)
            return 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
