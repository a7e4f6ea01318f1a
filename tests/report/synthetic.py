"""A run folder made up for tests: several domains, believable distributions, hostile text in all of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import columns
from raypipe.contracts.score import Score
from raypipe.storage.folder import Folder

HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<style>body{display:none}</style>",
    "<iframe src=http://hostile.invalid/></iframe>",
    "\x1b[31mred\x1b[0m\x07\x00 \x9b31m",
    "\u202egnp.exe \u2066abc\u2069 \u200f\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "w" * 400,
    "\u0301lone and z" + "\u0335" * 60 + "algo",
    "[bold red]rich[/] {{ 7*7 }} &lt;b&gt; \"' -->",
    "two\nlines\tand a tab \U000e0041\ufeff",
)

# domain: (share of rows, median influence, spread of its log, loss, median tokens, repeated lines)
DOMAINS = {
    "data tables": (0.06, 1.1, 0.35, 1.3, 700, 0.22),
    "python code": (0.16, 0.55, 0.40, 1.5, 620, 0.08),
    "boilerplate": (0.08, 0.50, 0.50, 1.9, 420, 0.15),
    "math textbook": (0.12, 0.38, 0.35, 2.3, 520, 0.02),
    "tech docs": (0.14, 0.33, 0.40, 2.4, 380, 0.04),
    "science abstracts": (0.14, 0.17, 0.40, 2.6, 260, 0.0),
    "news": (0.16, 0.13, 0.45, 2.8, 450, 0.01),
    "product reviews": (0.14, 0.09, 0.60, 3.2, 120, 0.0),
}


@dataclass(frozen=True)
class Made:
    """A made-up run: where it is, and what is true of it."""

    folder: Folder
    texts: dict[int, str]
    """By text_hash."""
    domains: list[str]
    n_files: int

    def read_text(self, shard: dict, rows: Sequence[int]) -> list[tuple[int, str] | None]:
        """What a corpus would say: texts by place."""
        first = int(shard["start"])
        return [(text_hash(first + row), self.texts[text_hash(first + row)]) for row in rows]


def text_hash(number: int) -> int:
    return (number * 0x9E3779B97F4A7C15) % 2**63 - 2**62


def make_run(
    root: Path,
    *,
    n_rows: int = 300,
    domains: dict[str, tuple[float, ...]] = DOMAINS,
    hostile: bool = True,
    n_files: int = 4,
    loss_slope: float = 0.5,
    duplicates: int = 0,
    texts: dict[str, list[str]] | None = None,
    parts: tuple[str, ...] = ("heads", "scores", "selection", "arms", "progress"),
    scorer: str = "influence",
    heads_pass: bool = True,
    seed: int = 0,
) -> Made:
    """Write it. `loss_slope`: how strongly influence follows loss; 5 makes it a copy of loss."""
    rng = np.random.default_rng(seed)
    names = [*domains] + (["<b>d</b>\u202e\x1b[1m"] if hostile else [])
    shares = np.array([*(share for share, *_ in domains.values())] + ([0.06] if hostile else []))
    domain = rng.choice(len(names), n_rows, p=shares / shares.sum())
    rows = _rows(rng, domain, [*domains.values()], names, loss_slope=loss_slope, hostile=hostile)
    rows["text_hash"] = np.array([text_hash(number) for number in range(n_rows)])
    if duplicates:
        scored = np.flatnonzero(rows["status"] == columns.SCORED)
        rows["text_hash"][scored[-duplicates:]] = rows["text_hash"][scored[0]]
    written = {}
    for number, name in enumerate(names):
        for place, row in enumerate(np.flatnonzero(domain == number)):
            source = (texts or {}).get(name) or [f"{name} document {row}. " + "It goes on and on, line by line.\n" * 30]
            text = source[place % len(source)]
            written[int(rows["text_hash"][row])] = (
                (HOSTILE[row % len(HOSTILE)] + text) if hostile and row % 7 == 0 else text
            )
    folder, record = Folder(str(root)), heads_record(rng, passed=heads_pass)
    if "scores" in parts:
        _write_scores(folder, rows, n_files, scorer, record["chosen"] if scorer == "influence" else [])
    if "selection" in parts:
        _write_selections(folder, rows, n_files, rng, with_arms="arms" in parts)
    if "heads" in parts:
        folder.write("heads/sample.json", json.dumps(record).encode())
    if "progress" in parts:
        _write_progress(folder, rng)
    folder.write("run.json", json.dumps(_run_record(hostile)).encode())
    return Made(folder, written, names, n_files)


def _rows(rng, domain, settings, names, *, loss_slope, hostile):
    settings = [*settings, (0.06, 0.2, 0.5, 2.5, 300, 0.0)]
    median, spread, loss, tokens, repeated = (np.array([s[i] for s in settings])[domain] for i in range(1, 6))
    n = len(domain)
    z = rng.normal(size=n)
    losses = loss * np.exp(0.22 * z)
    total = np.maximum(3, tokens * np.exp(rng.normal(0, 0.8, n))).astype(np.int64)
    noise = rng.normal(size=n)
    influence = median * np.exp(spread * (noise - loss_slope * z + 0.3 * np.log(total / tokens))) - 0.012
    if loss_slope >= 5:
        influence = median * np.exp(-spread * z)
    status = np.full(n, columns.SCORED, object)
    reason = np.full(n, None, object)
    for row in rng.choice(n, max(3, n // 90), replace=False):
        status[row], reason[row] = columns.SKIPPED, str(rng.choice(["empty", "too short", "not UTF-8", "unparsable"]))
    if hostile:
        row = int(np.flatnonzero(status == columns.SCORED)[0])
        status[row], reason[row] = columns.SKIPPED, HOSTILE[0]
    ids = [f"corpus/part-{row // 100:05d}.jsonl:{row % 100}" for row in range(n)]
    if hostile:
        ids = [HOSTILE[row % len(HOSTILE)] + str(row) if row % 3 == 0 else id_ for row, id_ in enumerate(ids)]
    return {
        "id": np.array(ids, object),
        "domain": np.array([names[d] for d in domain], object),
        "n_tokens": np.minimum(total, 1024).astype(np.int32),
        "n_tokens_total": total,
        "n_bytes": (total * 4.3).astype(np.int64),
        "loss": losses.astype(np.float32),
        "loss_masked": (losses * (1 + influence)).astype(np.float32),
        "influence": influence.astype(np.float32),
        "zlib_ratio": np.clip(1.1 / losses**0.3 + 0.12 * rng.normal(size=n) + 1.6, 1, 8).astype(np.float32),
        "repeated_lines": np.clip(repeated + 0.05 * rng.normal(size=n), 0, 1).astype(np.float32),
        "truncated": total > 1024,
        "status": status,
        "reason": reason,
    }


def _write_scores(
    folder: Folder, rows: dict[str, np.ndarray], n_files: int, scorer: str, heads: list[list[int]]
) -> None:
    left_out = {"perplexity": {"influence", "loss_masked"}, "min_k": {"influence", "loss_masked", "loss"}}.get(
        scorer, set()
    )
    rows = rows | ({"min_k": -2.5 * rows["loss"].astype(np.float32)} if scorer == "min_k" else {})
    skipped = rows["status"] == columns.SKIPPED
    measured = {"loss", "loss_masked", "influence", "zlib_ratio", "repeated_lines", "n_tokens", "truncated", "min_k"}
    table = pa.table(
        {
            name: pa.array(
                values.tolist(), pa.from_numpy_dtype(values.dtype) if values.dtype != object else pa.string()
            )
            if name not in measured
            else pa.array(values, mask=skipped)
            for name, values in rows.items()
            if name not in left_out
        }
    )
    for number, part in enumerate(np.array_split(np.arange(table.num_rows), n_files)):
        where = {"path": f"part-{number}.jsonl", "uri": f"file:///nowhere/part-{number}.jsonl", "cut": "rows"}
        shard = json.dumps({**where, "start": int(part[0]), "stop": int(part[-1]) + 1, "fingerprint": "1-1"})
        metadata = {
            "raypipe.shard": shard,
            "raypipe.source_path": f"part-{number}.jsonl",
            "raypipe.start": str(part[0]),
        }
        _write_table(folder, f"scores/{_file_name(number)}", table.take(part).replace_schema_metadata(metadata))
    scored = ~skipped
    card = {
        "stage": "scores", "kind": "annotate", "op": "ForwardPass", "status": "finished",
        "identity": {
            "model_sha256": "9c" * 32, "scorers": [scorer], "heads": heads, "max_tokens": 1024, "dtype": "float32",
            "token_budget": 4096, "text_column": "text", "max_line_bytes": 1 << 26,
        },
        "running": {"min_workers": 1, "max_workers": 2},
        "versions": {"raypipe": "0.1.0", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "inputs": {"files": n_files, "bytes": int(rows["n_bytes"].sum())},
        "counts": {
            "rows": len(skipped), "scored": int(scored.sum()),
            "skipped": dict(zip(*np.unique(rows["reason"][skipped].astype(str), return_counts=True), strict=True)),
            "shards": n_files, "tokens": int(rows["n_tokens"][scored].sum()),
            "tokens_total": int(rows["n_tokens_total"][scored].sum()),
            "padding_fraction": 0.021, "truncated": int(rows["truncated"][scored].sum()),
        },
        "times": {"started": "2026-11-23T11:20:03+00:00", "finished": "2026-11-23T11:22:41+00:00", "wall_s": 158.2,
                  "start_up_s": 11.4, "busy_s": 139.0, "tokens_per_s": 748.0},
        "set_aside": {}, "warnings": [],
    }  # fmt: skip
    if scorer == "min_k":
        card["score"] = Score("min_k", "mean log probability of the least likely tokens", "nats", True).as_json()
    folder.write("scores/card.json", json.dumps(card, default=int).encode())


def write_rules(folder: Folder, *, hostile: str = "") -> None:
    """The card of the rules of a selection, as select_corpus writes it."""
    identity = json.loads(folder.read("selection/card.json"))["identity"]
    each = [
        ("gopher: n_words >= 50", 34, 9412, 0, 34),
        ("gopher: words_with_letters >= 0.8", 111, 60233, 18, 88),
        (f"(\"language\" = 'en'{hostile})", 14, 4402, 1, 9),
    ]
    names = ("rule", "dropped", "tokens", "alone", "first")
    found = {"rows": 880, "kept": 749, "rules": [dict(zip(names, of, strict=True)) for of in each]}
    card = {"stage": "rules", "kind": "annotate", "status": "finished", "identity": identity, "rules": found}
    folder.write("rules/card.json", json.dumps(card).encode())


def _file_name(number: int) -> str:
    return f"part-{number}.jsonl-0a1b2c3d-{0:015d}.parquet"


def _write_table(folder: Folder, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    folder.write(name, sink.getvalue())


def _write_selections(folder: Folder, rows, n_files: int, rng, *, with_arms: bool) -> None:
    scored = rows["status"] == columns.SCORED
    keys = {"selection": rows["influence"]}
    if with_arms:
        keys |= {"selection-random": rng.normal(size=len(scored)), "selection-longest": rows["n_tokens_total"],
                 "selection-lowest-loss": -rows["loss"]}  # fmt: skip
    for arm, key in keys.items():
        table = _selection(rows, scored, np.asarray(key, np.float64), np.random.default_rng(1))
        for number, part in enumerate(np.array_split(np.arange(len(scored)), n_files)):
            _write_table(folder, f"{arm}/{_file_name(number)}", table.take(part))
        card = {"stage": arm, "kind": "gather", "status": "finished", "identity": {"share": 0.2}, "warnings": []}
        folder.write(f"{arm}/card.json", json.dumps(card).encode())


def _selection(rows, scored, key, rng) -> pa.Table:
    n = len(scored)
    heldout = rng.random(n) < 0.01
    rank, selected = np.full(n, np.nan), np.zeros(n, bool)
    for name in set(rows["domain"]):
        members = np.flatnonzero((rows["domain"] == name) & scored & ~heldout)
        order = members[np.argsort(key[members])]
        rank[order] = (np.arange(len(order)) + 1) / max(len(order), 1)
        selected[order[-max(1, len(order) // 5) :]] = len(order) > 0
    arrays = [rows["id"].tolist(), rows["text_hash"], rows["domain"].tolist(), pa.array(rank, from_pandas=True),
              np.where(heldout, "heldout", "train").tolist(),
              selected, np.where(selected, 2.0, 1.0).astype("f4")]  # fmt: skip
    return pa.table([pa.array(array) for array in arrays], schema=columns.SELECTION)


def heads_record(rng, *, n_layers: int = 30, n_heads: int = 9, passed: bool = True) -> dict:
    """A heads file such as find_heads writes."""
    scores = np.where(rng.random((n_layers, n_heads)) < 0.55, 0.0, rng.beta(0.5, 12, (n_layers, n_heads)))
    strong = [
        (18, 6),
        (17, 3),
        (20, 6),
        (17, 4),
        (18, 7),
        (23, 2),
        (19, 1),
        (21, 5),
        (24, 0),
        (22, 8),
        (19, 4),
        (20, 2),
    ]
    for place, (layer, head) in enumerate(strong):
        scores[layer, head] = 0.84 * 0.86**place
    order = np.argsort(-scores, axis=None)[:14]
    draws = [{"heads": [], "loss": loss, "accuracy": accuracy, "prose_loss": prose}
             for loss, accuracy, prose in [(0.55, 0.89, 3.41), (0.83, 0.81, 3.44), (0.92, 0.8, 3.52), (0.61, 0.88, 3.4),
                                           (1.22, 0.77, 3.6)]]  # fmt: skip
    chosen_loss = 4.79 if passed else 1.4
    rules = [
        ("rise of answer loss at least 3 x the draws' median", (chosen_loss - 0.41) / 0.42, 3.0),
        ("answer loss above every draw", chosen_loss, 1.22),
        ("rise on probes over rise on prose at least 2 x the draws' median", 9.1 if passed else 1.1, 2.0),
    ]
    return {
        "model": {"ref": "sample", "architecture": "LlamaForCausalLM", "sha256": "9c" * 32, "n_layers": n_layers,
                  "n_heads": n_heads, "n_kv_heads": 3, "revision": None},
        "probes": {"seed": 0, "n_probes": 60, "n_pairs": 12, "max_tokens": 1024},
        "retrieval_scores": scores.round(4).tolist(), "lax_scores": scores.round(4).tolist(), "share": 0.05,
        "chosen": [[int(i) // n_heads, int(i) % n_heads] for i in order],
        "left_out": [{"head": [12, 3], "prose_rise": 0.41, "why": "neutralising it alone raises prose loss by 0.41"}],
        "wreckers": [[3, 1]],
        "causal_check": {
            "n_probes": 24, "intact": {"loss": 0.41, "accuracy": 0.92, "prose_loss": 3.38},
            "chosen": {"loss": chosen_loss, "accuracy": 0.18, "prose_loss": 3.81}, "draws": draws, "passed": passed,
            "rules": [{"rule": rule, "value": value, "bar": bar, "passed": value >= bar} for rule, value, bar in rules],
        },
        "created": "2026-11-23T11:18:00+00:00", "versions": {"raypipe": "0.1.0"},
    }  # fmt: skip


def _write_progress(folder: Folder, rng) -> None:
    lines = [
        {"stage": "scores", "time": f"2026-11-23T11:{20 + i // 12:02d}:{5 * i % 60:02d}+00:00", "shards_done": i,
         "shards": 30, "rows": 10 * i, "tokens": 3900 * i, "tokens_per_s": float(760 + 40 * rng.normal()),
         "padding_fraction": 0.02, "eta_s": 158 - 5 * i, "workers": 2}
        for i in range(1, 31)
    ]  # fmt: skip
    folder.write("progress/20261123T112003-0000.jsonl", "\n".join(json.dumps(line) for line in lines).encode())
    folder.write("progress/now.json", json.dumps(lines[-1]).encode())


def _run_record(hostile: bool) -> dict:
    name = "demo <i>&</i>" if hostile else "demo"
    return {
        "raypipe": "0.1.0", "name": name, "created": "2026-11-23T11:17:52+00:00", "status": "finished",
        "recipe": {"corpus": ["sample"], "model": "sample", "max_tokens": 1024,
                   "heads": {"share": 0.05}, "select": {"share": 0.2, "share_of": "documents", "adjust": []}},
        "stages": ["heads", "scores", "selection"],
    }  # fmt: skip
