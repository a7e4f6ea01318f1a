"""A run's folders as its owner writes to them: each write first makes sure that the lock is still held."""

from dataclasses import dataclass

import pyarrow as pa

from raypipe.runs.lock import Owner
from raypipe.storage.folder import Folder


@dataclass(frozen=True)
class OwnedFolder(Folder):
    """A folder that is read like any other and written to only while the run is ours, in this process and others.

    Every method that writes raises LockLost once another driver has taken over the run.
    """

    owner: Owner

    def __getstate__(self) -> dict[str, str]:
        return {"uri": self.uri, "owner": self.owner}  # type: ignore[dict-item]

    def __setstate__(self, state: dict[str, str]) -> None:
        object.__setattr__(self, "uri", state["uri"])
        object.__setattr__(self, "owner", state["owner"])

    def __truediv__(self, name: str) -> "OwnedFolder":
        return OwnedFolder(super().__truediv__(name).uri, self.owner)

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        """Put a file in one step."""
        self._note()
        super().write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Put a file only if there is none of that name, and say whether it was put."""
        self._note()
        return super().create(name, content)

    def swap(self, name: str, content: bytes, *, seen: bytes) -> bool:
        """Replace a file only if it still holds what was seen, and say whether it was replaced."""
        self._note()
        return super().swap(name, content, seen=seen)

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._note()
        super().delete(name)

    def _note(self) -> None:
        self.owner.check()
        self.owner.has_written = True
