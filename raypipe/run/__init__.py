"""Everything that touches Ray: shards through pools of workers, with commit, resume and accounting."""

import os
import secrets

# Ray reads these when it is imported, so they are set before any module here does that.
# A thread that still waits for an outcome when the driver leaves must not make Ray start a new cluster for it.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Whoever can reach a Ray can run code on it: a cluster wants its token, a Ray of this job's own gets a fresh one.
if "RAY_AUTH_MODE" not in os.environ:
    os.environ["RAY_AUTH_MODE"] = "token"
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# A Ray of this job's own listens on the loopback address alone, its metrics, which ask for no token, included: with
# this setting, made for machines without clusters, Ray takes 127.0.0.1 for the machine's address. A cluster's nodes
# must reach one another; there who may reach the ports of the metrics is for its network to say (README, On a cluster).
if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# A machine whose link is down sends nothing, not even that it is gone. Ray waits two minutes for what it owes, with all
# readers that were there; after 20 s without a sign of life its tasks are given to others.
os.environ.setdefault("RAY_grpc_client_keepalive_timeout_ms", "20000")
