"""A Ray of a job's own: what it listens on, and what this machine has."""

import json
import os
import subprocess
import sys
from ipaddress import ip_address

import pytest

from raypipe.run import local

LISTENING = """
import json, time
import psutil
from raypipe.run.cluster import connect
connect()
import ray

@ray.remote
class Worker:
    def pid(self):
        import os
        return os.getpid()

worker = Worker.remote()
ray.get(worker.pid.remote())
deadline = time.monotonic() + 60
while True:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [
        (process.name(), socket.laddr.ip)
        for process in family
        for socket in process.net_connections(kind="inet")
        if socket.status == psutil.CONN_LISTEN
    ]
    names = " ".join(name for name, _ in found)
    if all(part in names for part in ("gcs_server", "raylet", "Agent", "Worker")) or time.monotonic() > deadline:
        break  # agents, which serve the metrics, come last
    time.sleep(0.5)
print(json.dumps(found))
"""


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_ray_of_our_own_listens_on_the_loopback_address_only():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", LISTENING], env=kept, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    names = " ".join(name for name, _ in found)
    assert all(part in names for part in ("gcs_server", "raylet", "Agent", "Worker")), names
    assert [(name, ip) for name, ip in found if not _is_loopback(ip)] == []


def _is_loopback(ip):
    address = ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_a_named_cluster_is_no_ray_of_our_own(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not local.is_own()
