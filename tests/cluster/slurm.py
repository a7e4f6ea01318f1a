"""A Slurm of its own on hosts: controller on the first, a node daemon on each of the others."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.hosts import CPUS, SHARED, Host, hosts

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
CONTROL, NODES = "control", ("node1", "node2")
CONFIG = """
ClusterName=raypipe
SlurmctldHost={control}({address})
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=/mnt/own/slurm/state
SlurmdSpoolDir=/mnt/own/slurm/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/mnt/own/slurm/slurmctld.log
SlurmdLogFile=/mnt/own/slurm/slurmd.log
MpiDefault=none
GresTypes=gpu
JobRequeue=1
KillWait=10
ReturnToService=2
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """What the tests act on."""

    hosts: dict[str, Host]
    shared: Path
    """The folder that the hosts see as SHARED."""

    def run(self, *words: str, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command of Slurm on the controller."""
        return self.hosts[CONTROL].run(
            words, check=check, timeout_s=timeout_s, cwd=Path(SHARED) / "clone", **self.environment
        )

    @property
    def environment(self) -> dict[str, str]:
        """For commands of Slurm, and for jobs, which inherit it."""
        return {"SLURM_CONF": f"{SHARED}/slurm.conf", "PYTHONPATH": f"{SHARED}/clone"}

    def state(self, job: str) -> str:
        """A job's state: PENDING, RUNNING, COMPLETED, ..."""
        said = self.run("scontrol", "show", "job", job).stdout
        return re.search(r"JobState=(\S+)", said)[1]

    def end_soon(self, job: str) -> None:
        """Let a running job's time be up in one to two minutes: Slurm sends the signal that it has asked for."""
        days, hours, minutes = re.search(
            r"RunTime=(?:(\d+)-)?(\d+):(\d+):\d+", self.run("scontrol", "show", "job", job).stdout
        ).groups("0")
        so_far = (int(days) * 24 + int(hours)) * 60 + int(minutes)
        self.run("scontrol", "update", f"JobId={job}", f"TimeLimit={so_far + 2}")

    def said(self, job: str) -> str:
        """What a job has printed so far."""
        file = self.shared / f"slurm-{job}.out"
        return file.read_text() if file.exists() else ""

    def left(self) -> list[str]:
        """Processes on the nodes, but for Slurm's own."""
        own = ("/usr/sbin/munged", "munged", "/usr/sbin/slurmd", "slurmd")
        return [line for name in NODES for line in self.hosts[name].processes() if not line.startswith(own)]


@contextmanager
def slurm(folder: Path, clone: Path) -> Iterator[Slurm]:
    """Slurm on three hosts; `clone` is what jobs are submitted from, seen by all as SHARED/clone."""
    with hosts([CONTROL, *NODES], folder) as made:
        found = Slurm(made, folder / "shared")
        (found.shared / "clone").symlink_to(clone)
        nodes = "\n".join(
            f"NodeName={name} NodeAddr={made[name].address} CPUs={CPUS} Gres=gpu:8 State=UNKNOWN" for name in NODES
        )
        address = made[CONTROL].address
        (found.shared / "slurm.conf").write_text(CONFIG.format(control=CONTROL, address=address, nodes=nodes))
        (found.shared / "gres.conf").write_text("Name=gpu File=/mnt/own/gpu[0-7]\n")
        (found.shared / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # of which nothing is used
        (folder / "munge.key").write_bytes(b"only a test's" * 100)
        for name, host in made.items():
            _start(host, folder / "munge.key", ["slurmctld"] if name == CONTROL else ["slurmd", "-N", name])
        _await(lambda: found.run("sinfo", "-h", "-o", "%T %D", check=False).stdout.strip() == f"idle {len(NODES)}")
        yield found


def _start(host: Host, key: Path, daemon: Sequence[str]) -> None:
    own = host.own / "munge.key"
    own.write_bytes(key.read_bytes())
    own.chmod(0o400)
    (host.own / "slurm").mkdir()
    (host.own / "slurm" / "state").mkdir()
    (host.own / "slurm" / "spool").mkdir()
    for number in range(8):
        (host.own / f"gpu{number}").touch()
    host.run(["mkdir", "-p", "/run/munge"])
    files = [f"--{what}-file=/mnt/own/munge.{what}" for what in ("key", "log", "pid", "seed")]
    host.run(["/usr/sbin/munged", "--force", "--socket=/run/munge/munge.socket.2", *files])
    host.run([f"/usr/sbin/{daemon[0]}", *daemon[1:]], SLURM_CONF=f"{SHARED}/slurm.conf")


def _await(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"Slurm has no idle nodes after {seconds} s"
        time.sleep(0.5)
