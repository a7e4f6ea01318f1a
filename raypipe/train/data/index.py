"""What tokens/ holds, without its tokens: lengths, hashes and domains of all rows; and how often each is to be seen.

Memory: 14 bytes a row (16 with more than 32,768 domains), and 5 more for a mix.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import DOMAIN, TEXT_HASH, require
from raypipe.runs.card import Json, read_card
from raypipe.runs.files import check_file
from raypipe.storage.folder import Folder

READERS = 8


@dataclass(frozen=True)
class Listing:
    """Every row of a tokens folder in corpus order, `n` rows of `f` files."""

    files: tuple[str, ...]
    """Names in the folder, sorted."""
    paths: tuple[str, ...]
    """Path of the source file that each holds a part of."""
    borders: np.ndarray  # [f + 1] int64: rows before each file, and all
    first_rows: np.ndarray  # [f] int64: rows of the same source in earlier files
    n_tokens: np.ndarray  # [n] int32, 0 where the row was skipped
    text_hash: np.ndarray  # [n] int64, 0 where there is no text
    domain: np.ndarray  # [n] int16, or int32 where there are more domains than that holds; into domains
    domains: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.n_tokens)

    @cached_property
    def sha256(self) -> str:
        """Of all that is listed: other tokens have another."""
        digest = hashlib.sha256(json.dumps([self.files, self.domains]).encode())
        for array in (self.n_tokens, self.text_hash, self.domain):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def file_of(self, rows: np.ndarray) -> np.ndarray:
        """[m] rows of the listing -> [m] index of their file."""
        return np.searchsorted(self.borders, rows, side="right") - 1

    def place(self, row: int) -> tuple[str, int]:
        """The source file of a row, and its row there."""
        file = int(self.file_of(np.array([row]))[0])
        return self.paths[file], int(row - self.borders[file] + self.first_rows[file])


@dataclass(frozen=True)
class Mix:
    """How often each row is to be seen, and which are held out."""

    listing: Listing
    weight: np.ndarray  # [n] float32, 0: never
    is_heldout: np.ndarray  # [n] bool

    @cached_property
    def sha256(self) -> str:
        """Of the tokens and the weights: what the order of training depends on beside seed and lengths."""
        digest = hashlib.sha256(self.listing.sha256.encode())
        digest.update(np.ascontiguousarray(self.weight).tobytes() + np.packbits(self.is_heldout).tobytes())
        return digest.hexdigest()


def read_listing(tokens: Folder) -> Listing:
    """The listing of a tokens folder, read from its files' columns.

    Raises
    ------
    FileNotFoundError
        If it has no files.
    """
    names = [entry.path for entry in tokens.files() if entry.path.endswith(".parquet")]
    if not names:
        raise FileNotFoundError(f"{tokens.uri} holds no tokens; write them with: python -m jobs.tokenize_corpus")
    with ThreadPoolExecutor(READERS) as threads:
        parts = list(threads.map(lambda name: _columns(tokens, name, [TEXT_HASH, DOMAIN, "n_tokens"]), names))
    paths, tables = [path for path, _ in parts], [table for _, table in parts]
    lengths = np.array([len(table) for table in tables], dtype=np.int64)
    whole = pa.concat_tables(tables).combine_chunks()
    domain = whole[DOMAIN].fill_null("unknown").combine_chunks().dictionary_encode()
    domain = domain.combine_chunks() if isinstance(domain, pa.ChunkedArray) else domain
    names_of_codes = domain.dictionary.to_pylist()
    order = sorted(names_of_codes)
    rank = {domain_name: at for at, domain_name in enumerate(order)}
    codes = np.array([rank[domain_name] for domain_name in names_of_codes], dtype=code_type(len(order)))
    return Listing(
        tuple(names),
        tuple(paths),
        borders=np.concatenate([[0], np.cumsum(lengths)]),
        first_rows=_rows_before(paths, lengths),
        n_tokens=whole["n_tokens"].fill_null(0).to_numpy(),
        text_hash=whole[TEXT_HASH].fill_null(0).to_numpy(),
        domain=codes[domain.indices.to_numpy()] if len(whole) else np.zeros(0, code_type(0)),
        domains=tuple(order),
    )


def code_type(n_domains: int) -> type[np.signedinteger]:
    """The smallest of int16 and int32 that numbers so many domains."""
    return np.int16 if n_domains <= 1 << 15 else np.int32


def every_row_once(listing: Listing) -> Mix:
    """A mix without a selection."""
    return Mix(listing, np.ones(len(listing), np.float32), np.zeros(len(listing), bool))


def read_mix(listing: Listing, selection: Folder) -> Mix:
    """The weights of a selection for the rows of a listing, joined by source file and row; the two may be cut anyhow.

    Raises
    ------
    ValueError
        If they aren't of the same texts, with the first source and row that differ; or if a file isn't the card's.
    """
    names = [entry.path for entry in selection.files() if entry.path.endswith(".parquet")]
    if not names:
        raise FileNotFoundError(f"{selection.uri} holds no selection; make it with: python -m jobs.select_corpus")
    with ThreadPoolExecutor(READERS) as threads:
        columns, card = [TEXT_HASH, "weight", "split"], read_card(selection)
        parts = list(threads.map(lambda name: _columns(selection, name, columns, card), names))
    by_path: dict[str, list[pa.Table]] = {}
    for path, table in parts:
        by_path.setdefault(path, []).append(table)
    weight, is_heldout = np.zeros(len(listing), np.float32), np.zeros(len(listing), bool)
    for path, rows in _rows_by_path(listing):
        chosen = pa.concat_tables(by_path.pop(path, [])) if path in by_path else None
        _require_same(path, listing.text_hash[rows], chosen, where=selection.uri)
        assert chosen is not None
        weight[rows] = chosen["weight"].fill_null(0).to_numpy()
        is_heldout[rows] = pa.compute.equal(chosen["split"], "heldout").fill_null(False).to_numpy()
    if by_path:
        raise ValueError(f"{selection.uri} selects from {min(by_path)!r}, which was not tokenised; tokenise it first.")
    return Mix(listing, np.where(is_heldout, np.float32(0), weight), is_heldout)


def _columns(folder: Folder, name: str, names: list[str], card: Json | None = None) -> tuple[str, pa.Table]:
    with folder.open(name) as source:
        parquet = pq.ParquetFile(source)
        require(parquet.schema_arrow, names, where=f"{folder.uri}/{name}")
        footer = parquet.metadata.metadata or {}
        check_file(footer, card, where=f"{folder.uri}/{name}")
        return footer.get(b"raypipe.source_path", name.encode()).decode(), parquet.read(names)


def _rows_before(paths: list[str], lengths: np.ndarray) -> np.ndarray:
    seen: dict[str, int] = {}
    before = []
    for path, length in zip(paths, lengths.tolist(), strict=True):
        before.append(seen.get(path, 0))
        seen[path] = before[-1] + length
    return np.array(before, dtype=np.int64)


def _rows_by_path(listing: Listing) -> Iterator[tuple[str, np.ndarray]]:
    files: dict[str, list[np.ndarray]] = {}
    for file, path in enumerate(listing.paths):
        files.setdefault(path, []).append(np.arange(listing.borders[file], listing.borders[file + 1]))
    for path, rows in files.items():
        yield path, np.concatenate(rows)


def _require_same(path: str, tokenised: np.ndarray, chosen: pa.Table | None, *, where: str) -> None:
    found = None if chosen is None else chosen[TEXT_HASH].fill_null(0).to_numpy()
    if found is not None and np.array_equal(found, tokenised):
        return
    if found is None or len(found) != len(tokenised):
        what = f"{0 if found is None else len(found)} rows of it"
    else:
        row = int(np.flatnonzero(found != tokenised)[0])
        what = f"another text at row {row} (text_hash {found[row]}, not {tokenised[row]})"
    raise ValueError(
        f"tokens and selection must be of the same texts, but {where} has {what} for the {len(tokenised)} tokenised "
        f"rows of {path!r}. The source has changed between the two: run both stages again on the same --corpus."
    )
