"""Parts of a decision as small pictures, where parts are patches of images: what the report draws beside its words.

Source of the format: W3C, Portable Network Graphics (PNG) Specification, third edition, sections 5, 9 and 11.
"""

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from raypipe.contracts.estimator import Estimator, VectorSet

if TYPE_CHECKING:
    from raypipe.classify.st_protopnet import Likeness

SIGNATURE, GREY, COLOUR = b"\x89PNG\r\n\x1a\n", 0, 2
MAX_SIDE = 64
"""Of a patch, in pixels: the report holds every picture."""


@runtime_checkable
class Resembles(Protocol):
    """Says which training parts a row's parts are like."""

    def likenesses(self, X: np.ndarray) -> "Sequence[Sequence[Likeness]]":
        """Of each set, those that speak most for its class."""
        ...


class PatchShape(NamedTuple):
    """Pixels of a patch, row by row, channels last."""

    height: int
    width: int
    channels: int

    @classmethod
    def of(cls, words: str) -> Self:
        """From HEIGHTxWIDTH, or HEIGHTxWIDTHx3 for red, green and blue.

        Raises
        ------
        ValueError
            If it is something else, or larger than 64 pixels a side.
        """
        sizes = [int(part) if part.isascii() and part.isdigit() else 0 for part in words.split("x")]
        sizes += [1] if len(sizes) == 2 else []
        if len(sizes) != 3 or not (min(sizes[:2]) >= 1 and max(sizes[:2]) <= MAX_SIDE and sizes[2] in (1, 3)):
            raise ValueError(
                f"patch must be HEIGHTxWIDTH, or HEIGHTxWIDTHx3 for colours, of 1 to {MAX_SIDE} pixels a side, such as "
                f"7x7; got {words!r}."
            )
        return cls(*sizes)

    @property
    def n(self) -> int:
        """Numbers of a patch."""
        return self.height * self.width * self.channels

    def check_fits(self, n: int) -> None:
        """Refuse vectors of fewer numbers.

        Raises
        ------
        ValueError
            With both sizes.
        """
        if n < self.n:
            said = "x".join(map(str, self))
            raise ValueError(f"patch must fit into a vector: {said} are {self.n} numbers, vectors have {n}.")


@dataclass(frozen=True)
class Drawing:
    """Patches as pictures: black is the least number of those learned from, white the largest."""

    shape: PatchShape
    low: float
    high: float

    @classmethod
    def of(cls, shape: PatchShape, sets: np.ndarray) -> Self:
        """For patches that the vectors of these sets begin with."""
        parts = [one.vectors[:, : shape.n] for one in sets]
        return cls(shape, float(min(map(np.min, parts))), float(max(map(np.max, parts))))

    def png(self, vector: np.ndarray) -> str:
        """The patch that a vector begins with: a PNG in base64."""
        spread = max(self.high - self.low, 1e-12)
        shades = np.clip((vector[: self.shape.n] - self.low) / spread, 0, 1) * 255
        return b64encode(png_of(np.round(shades).astype(np.uint8).reshape(self.shape))).decode()


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of [height, width, 1 or 3] uint8, grey or red, green and blue."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: a line as it is, not its change from the last
    head = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else COLOUR, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def draws(kind: type[Estimator]) -> bool:
    """Whether decisions of such a classifier name parts that can be drawn."""
    return hasattr(kind, "likenesses")


def pictures_of(model: Resembles, X: np.ndarray, learned: np.ndarray, shape: PatchShape) -> list[list[dict[str, Any]]]:
    """Of each set of X [n], its parts and the training parts that they are like, in the order of its explanation."""
    drawing = Drawing.of(shape, learned)
    return [
        [_pair(drawing, one, own, learned[one.row]) for one in parts]
        for own, parts in zip(X, model.likenesses(X), strict=True)
    ]


def _pair(drawing: Drawing, one: "Likeness", own: VectorSet, like: VectorSet) -> dict[str, Any]:
    return {
        "own": drawing.png(own.vectors[one.part]), "like": drawing.png(like.vectors[one.place]),
        "cosine": round(one.cosine, 4), "part": one.part, "row": one.row, "place": one.place,
    }  # fmt: skip
