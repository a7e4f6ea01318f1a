"""Everything that touches Ray: shards through pools of workers, with commit, resume and accounting."""

import os

# A thread that still waits for an outcome when the driver leaves must not make Ray start a new cluster for it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
