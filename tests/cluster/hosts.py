"""Hosts made on this machine: each has its own addresses, processes, /tmp, /dev/shm, home and SSH server.

They are Linux namespaces, joined by one switch that leads nowhere else. What is on disk is shared read-write, as the
program itself is; what a host may not see of another is mounted over.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT

SHARED = "/mnt/raypipe"
"""Where all hosts find the folder that they share."""
NEEDED = ("ip", "unshare", "nsenter", "setpriv", "sshd", "ssh", "ssh-keygen", "rsync")
NETWORK = "10.77.0"
CPUS = os.cpu_count() or 1
"""Of each host, as it sees them."""
_INIT = r"""
set -e
mount --make-rprivate /
mkdir -p "$OWN"/{home/.ssh,tmp,run,code}
mount --bind "$CODE" "$OWN/code"
mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/raypipe && mount --bind "$SHARE" /mnt/raypipe
mkdir -p /mnt/own && mount --bind "$OWN" /mnt/own
sed 's#^root:.*#root:x:0:0:root:/mnt/own/home:/bin/bash#' /etc/passwd > /mnt/own/passwd
mount --bind /mnt/own/passwd /etc/passwd
printf '127.0.0.1 localhost\n%s\n' "$NAMES" > /mnt/own/hosts && mount --bind /mnt/own/hosts /etc/hosts
mount --bind /mnt/own/run /run && mkdir -p /run/sshd
mount -t tmpfs -o size=8g tmpfs /dev/shm
hostname "$NAME"
mount -t tmpfs tmpfs /tmp
case "$CODE" in /tmp/*) mkdir -p "$CODE" && mount --bind /mnt/own/code "$CODE";; esac
export HOME=/mnt/own/home
exec /usr/sbin/sshd -D -e -f /mnt/own/sshd_config 2> /mnt/own/sshd.log
"""


def require(*tools: str) -> None:
    """Skip the test where hosts can't be made or a tool is missing; fail it where RAYPIPE_REQUIRE_CLUSTER is set."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    lacking = [tool for tool in (*NEEDED, *tools) if shutil.which(tool, path=path) is None]
    lacking += ["root"] * (os.geteuid() != 0)
    if not lacking:
        tried = subprocess.run(["unshare", "--pid", "--mount", "--net", "--fork", "--mount-proc", "true"], check=False)
        lacking = ["namespaces"] * (tried.returncode != 0)
    if lacking:
        say = pytest.fail if os.environ.get("RAYPIPE_REQUIRE_CLUSTER") else pytest.skip
        say(f"making hosts needs {', '.join(lacking)}")


@dataclass
class Host:
    """One machine of the test."""

    name: str
    address: str
    own: Path
    process: subprocess.Popen = field(repr=False)

    @property
    def first(self) -> int:
        """The host's first process, as numbered outside: the child of `unshare`."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def command(self, words: Sequence[str], **environment: str) -> list[str]:
        """What runs a command on the host, from the outside."""
        given = {
            "HOME": "/mnt/own/home",
            "RAY_AUTH_MODE": "token",
            "PATH": f"{SHARED}/venv/bin:{os.environ['PATH']}:/usr/sbin",
            **environment,
        }
        enter = ["nsenter", f"--target={self.first}", "--net", "--pid", "--mount", "--uts", "--ipc"]
        ours = [f"--unset={name}" for name in os.environ if name.startswith("RAY_")]  # of this process's own Ray
        return [*enter, "env", *ours, *(f"{name}={value}" for name, value in given.items()), *words]

    def run(
        self, words: Sequence[str], *, timeout_s: float = 120, check: bool = True, cwd: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        words = ["bash", "-c", f'cd {cwd} && exec "$@"', "-", *words]
        done = subprocess.run(
            self.command(words, **environment), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}: {words[4:]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    @property
    def is_alive(self) -> bool:
        """Whether it is switched on."""
        return self.process.poll() is None

    def processes(self) -> list[str]:
        """Command lines of what runs there, but for the SSH server and the asking itself."""
        lines = self.run(["ps", "-eo", "args", "--no-headers"]).stdout.splitlines()
        return [line for line in lines if not line.startswith(("sshd:", "/usr/sbin/sshd", "ps -eo", "bash -c cd"))]

    def cut_off(self) -> None:
        """Take its cable out."""
        self.run(["ip", "link", "set", "eth0", "down"])

    def kill(self) -> None:
        """Switch it off: every process of it ends at once."""
        os.kill(self.first, signal.SIGKILL)
        self.process.wait(timeout=30)


def _sweep() -> None:
    """Delete the networks of processes that are gone: those of one that was killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines()):
        owner = re.fullmatch(r"rp(\d+)(-\d+)?", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def hosts(names: Sequence[str], folder: Path) -> Iterator[dict[str, Host]]:
    """Hosts on one switch, each with the same key in its home, so that each may log in to each; all are gone after."""
    _sweep()
    tag = f"rp{os.getpid()}"
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, start=1)}
    (folder / "shared").mkdir()
    (folder / "shared" / "venv").symlink_to(Path(sys.prefix).resolve())
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    made: dict[str, Host] = {}
    _ip("netns", "add", tag)
    try:
        _ip("-n", tag, "link", "add", "switch", "type", "bridge")
        _ip("-n", tag, "link", "set", "switch", "up")
        for number, name in enumerate(names, start=1):
            _wire(tag, number, addresses[name])
            made[name] = _start(name, addresses, folder, f"{tag}-{number}")
        for host in made.values():
            _await_server(host)
        yield made
    finally:
        for host in made.values():
            if host.process.poll() is None:
                host.kill()
        for number in range(1, len(names) + 1):
            subprocess.run(["ip", "netns", "del", f"{tag}-{number}"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", tag], check=False, capture_output=True)


def _wire(tag: str, number: int, address: str) -> None:
    """A network namespace with one cable to the switch."""
    own = f"{tag}-{number}"
    _ip("netns", "add", own)
    _ip("-n", tag, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", own)
    _ip("-n", tag, "link", "set", f"port{number}", "master", "switch", "up")
    _ip("-n", own, "address", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", own, "link", "set", "eth0", "up")
    _ip("-n", own, "link", "set", "lo", "up")


def _start(name: str, addresses: dict[str, str], folder: Path, netns: str) -> Host:
    own = folder / name
    (own / "home" / ".ssh").mkdir(parents=True)
    for file, content in _files(folder, own).items():
        file.write_text(content)
        file.chmod(0o600)
    environment = {
        **os.environ, "OWN": str(own), "SHARE": str(folder / "shared"), "NAME": name, "CODE": str(ROOT),
        "NAMES": "\n".join(f"{ip} {host}" for host, ip in addresses.items()),
    }  # fmt: skip
    lives = ["setpriv", "--pdeathsig=KILL", "ip", "netns", "exec", netns]  # not longer than we
    unshare = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        [*lives, *unshare, "bash", "-c", _INIT],
        env=environment, stdout=subprocess.DEVNULL, stderr=(own / "init.log").open("w"),
    )  # fmt: skip
    return Host(name, addresses[name], own, process)


def _files(folder: Path, own: Path) -> dict[Path, str]:
    key, ssh, home = folder / "key", own / "home" / ".ssh", "/mnt/own/home/.ssh"  # the last as the host sees it
    config = (
        f"ListenAddress 0.0.0.0\nPort 22\nHostKey {home}/id_ed25519\nPermitRootLogin yes\nPasswordAuthentication no\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n"
    )
    public = key.with_suffix(".pub").read_text()
    return {
        own / "sshd_config": config,
        ssh / "authorized_keys": public,
        ssh / "id_ed25519": key.read_text(),
        ssh / "id_ed25519.pub": public,
    }


def _await_server(host: Host, *, timeout_s: float = 30) -> None:
    probe = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=2", f"root@{host.address}", "true"]
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if host.process.poll() is not None:
            break
        try:
            if host.run(probe, check=False).returncode == 0:
                return
        except (IndexError, FileNotFoundError):  # not born yet
            pass
        time.sleep(0.2)
    log = (host.own / "init.log").read_text() + (host.own / "sshd.log").read_text()
    raise AssertionError(f"{host.name} has no SSH server: {log}")
