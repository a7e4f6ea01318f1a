from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.runs.card import FORMAT, identity_hash, tables
from raypipe.runs.files import are_own, check_file, file_identity, listing_digest
from raypipe.storage.folder import Folder

IDENTITY = {"share": 0.2, "arms": ["random"]}
CARD = {"stage": "selection", "format": FORMAT, "identity": IDENTITY}


def put(folder: Folder, name: str, identity: dict) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"row": [1]}).replace_schema_metadata(file_identity(identity))
    pq.write_table(table, sink)
    folder.write(name, sink.getvalue())


def test_a_hash_is_of_values_not_of_their_order() -> None:
    assert identity_hash({"a": 1, "b": (1, 2)}) == identity_hash({"b": [1, 2], "a": 1})
    assert identity_hash({"a": 1}) != identity_hash({"a": 1.5})


def test_a_file_of_another_identity_or_of_none_is_refused() -> None:
    check_file(file_identity(IDENTITY), CARD, where="a")
    check_file({}, None, where="a")
    for metadata in (file_identity({"share": 0.3}), {}, None):
        with pytest.raises(ValueError, match=r"sel/a was made by other settings .* make stage 'selection' again"):
            check_file(metadata, CARD, where="sel/a")
    with pytest.raises(ValueError, match="other settings"):
        check_file(file_identity(IDENTITY), {**CARD, "format": FORMAT - 1}, where="a")


def test_footers_are_read_only_if_the_listing_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    put(folder, "a.parquet", IDENTITY)
    put(folder, "b.parquet", IDENTITY)
    card = {**CARD, "listing": listing_digest(tables(folder))}
    put(folder, "b.parquet", {"share": 0.3})  # by one who was paused
    assert not are_own(folder, tables(folder), card)
    put(folder, "b.parquet", IDENTITY)
    assert are_own(folder, tables(folder), card)  # as after a copy: other times, the same files
    card["listing"] = listing_digest(tables(folder))
    monkeypatch.setattr(pq, "read_metadata", lambda _: pytest.fail("a footer was read"))
    assert are_own(folder, tables(folder), card)
