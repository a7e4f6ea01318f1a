"""Pairs that share a band of their MinHash signatures, against exact Jaccard, the S-curve, and datatrove's."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .near_copies import N_FILES, jaccards, make_texts, write

SCRIPT = Path(__file__).parent / "oracles" / "datatrove_minhash_side.py"
Json = dict[str, Any]
EDGES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0000001)


def minhash(scratch: str, n: int, ngram: int, n_bands: int, rows: int, oracle: str | None, seed: int) -> Json:
    """Pairs that share a band, against exact Jaccard, the curve, and datatrove's."""
    from raypipe.select.dedup.minhash import Bands

    bands = Bands(n_bands, rows)
    texts = make_texts(n, seed=seed)
    write(texts, Path(scratch) / "texts")
    pairs, similarity = jaccards(texts, ngram, least=EDGES[0])
    seconds, found = raypipe_pairs(texts, ngram, bands, seed)
    chance, code = bands.chance(similarity), pairs[0] * len(texts) + pairs[1]
    is_found = np.isin(code, found)
    result: Json = {
        "n": len(texts), "seconds": seconds, "curve": bands.said(), "pairs": len(found),
        "bins": _bins(similarity, chance, is_found), "expected": float(chance.sum()), "found": int(is_found.sum()),
        "deviation": float((is_found.sum() - chance.sum()) / np.sqrt((chance * (1 - chance)).sum())),
        "precision": float(np.isin(found, code[similarity >= 0.5]).mean()),
        "unlike": int((~np.isin(found, code)).sum()),
    }  # fmt: skip
    if oracle:
        theirs = datatrove_pairs(oracle, Path(scratch), {"ngram": ngram, "bands": n_bands, "rows": rows})
        their_code = _codes(theirs.pop("pairs"), len(texts))
        result["datatrove"] = theirs | _side_by_side(code, similarity, found, their_code, len(texts))
    return result


def raypipe_pairs(texts: list[str], ngram: int, bands: Any, seed: int) -> tuple[Json, np.ndarray]:
    """Seconds of each step by the clock and of the CPU, and every pair that shares a band as low * n + high."""
    import time

    from raypipe.corpus.rows import source_of
    from raypipe.select.dedup.clusters import clusters_of
    from raypipe.select.dedup.minhash import MinHashKeys
    from raypipe.select.dedup.shared_keys import SharedKeys

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    op, linker, at = MinHashKeys(ngram, bands, seed), SharedKeys("keys"), [now()]
    table = op.prepare(source_of(texts))
    at.append(now())
    linker.update(table.rename_columns(["keys.keys", *table.column_names[1:]]), 0)
    links = linker.result()
    at.append(now())
    clusters_of(links["row"].to_numpy(), links["other"].to_numpy())
    at.append(now())
    names = ("signatures", "links", "clusters")
    seconds = {name: (b - a).tolist() for name, a, b in zip(names, at, at[1:], strict=False)}
    keys = table["keys"].combine_chunks()
    flat, owner = keys.flatten().to_numpy(), np.asarray(keys.value_parent_indices())
    return seconds, _sharing(flat, owner, len(texts))


def _sharing(keys: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """All pairs of owners of a key, not only those with the first: low * n + high, each once."""
    order = np.lexsort((owner, keys))
    keys, owner = keys[order], owner[order]
    found, gap = list[np.ndarray](), 1
    while True:
        same = keys[gap:] == keys[:-gap]
        if not same.any():
            return np.unique(np.concatenate([*found, np.zeros(0, np.int64)]))
        found.append(owner[:-gap][same].astype(np.int64) * n + owner[gap:][same])
        gap += 1


def datatrove_pairs(oracle: str, scratch: Path, settings: Json) -> Json:
    """What datatrove says of the same files, in a process and an environment of its own.

    Raises
    ------
    ValueError
        If that environment has none, or it failed; with the end of what it said.
    """
    asked, answered = scratch / "asked.json", scratch / "answered.json"
    given = {"data": str(scratch / "texts"), "scratch": str(scratch / "theirs")}
    asked.write_text(json.dumps(given | settings))
    command = [oracle, str(SCRIPT), str(asked), str(answered)]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if done.returncode:
        raise ValueError(
            f"oracle must be a Python with datatrove and spacy (pip install 'datatrove[processing]' spacy), "
            f"{oracle} ended with {done.returncode}: {done.stderr[-500:]}"
        )
    return dict(json.loads(answered.read_text()))


def _codes(pairs: list[list[int]], n: int) -> np.ndarray:
    starts = np.array([rows[0] for rows in np.array_split(np.arange(n), N_FILES)], np.int64)
    given = np.array(pairs, np.int64).reshape(-1, 4)
    one, other = starts[given[:, 0]] + given[:, 1], starts[given[:, 2]] + given[:, 3]
    return np.unique(np.minimum(one, other) * n + np.maximum(one, other))


def _side_by_side(code: np.ndarray, similarity: np.ndarray, ours: np.ndarray, theirs: np.ndarray, n: int) -> Json:
    """How many pairs of texts each puts into one cluster, and of the near copies how many."""
    from raypipe.select.dedup.clusters import clusters_of

    def together(codes: np.ndarray) -> tuple[int, np.ndarray]:
        """Pairs inside clusters, and a label for each text."""
        clusters = clusters_of(codes // n, codes % n)
        label = np.arange(n)
        label[clusters.rows] = clusters.cluster
        sizes = np.bincount(label)
        return int((sizes * (sizes - 1) // 2).sum()), label

    found: Json = {"links": len(theirs)}
    for name, codes in (("raypipe", ours), ("datatrove", theirs)):
        n_pairs, label = together(codes)
        is_joined = label[code // n] == label[code % n]
        shares = {f"{low:g}": float(is_joined[similarity >= low].mean()) for low in (0.6, 0.7, 0.8, 0.9)}
        found[f"{name}_together"], found[f"{name}_share"] = n_pairs, shares
    return found


def _bins(similarity: np.ndarray, chance: np.ndarray, is_found: np.ndarray) -> list[Json]:
    rows = []
    for low, high in pairwise(EDGES):
        mine = (similarity >= low) & (similarity < high)
        if mine.any():
            share = {"curve": float(chance[mine].mean()), "found": float(is_found[mine].mean())}
            rows.append({"from": low, "to": round(high, 6), "pairs": int(mine.sum()), **share})
    return rows
