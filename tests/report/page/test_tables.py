"""Every table of the report against the data that it tells of: what stands under a header is what the header says."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from raypipe.report import write_report
from raypipe.report.words import cost, count, duration, fraction, moment, signed, value
from tests.report.page.tables import tables
from tests.report.panels.evaluations import CHOICES, SEEDS, write_evaluations
from tests.report.synthetic import Made, make_run, write_rules
from tests.report.synthetic_training import write_training

ARMS = ("selection", "selection-longest", "selection-lowest-loss", "selection-random")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    made = make_run(tmp_path_factory.mktemp("tables") / "run", n_rows=900, hostile=False)
    write_rules(made.folder)
    write_training(made.folder)
    write_evaluations(made.folder)
    write_report(made.folder, read_text=made.read_text)
    return made


@pytest.fixture(scope="module")
def shown(made) -> dict[str, list[dict[str, str]]]:
    return tables(made.folder.read("report.html").decode())


@pytest.fixture(scope="module")
def stored(made):
    """The rows of each stage."""

    def rows(stage: str) -> list[dict]:
        names = sorted(e.path for e in (made.folder / stage).files() if e.path.endswith(".parquet"))
        return pa.concat_tables([pq.read_table((made.folder / stage).path(name)) for name in names]).to_pylist()

    return {stage: rows(stage) for stage in ("scores", *ARMS)}


@pytest.fixture(scope="module")
def record(made):
    return json.loads(made.folder.read("heads/sample.json"))["causal_check"]


def by_first(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Rows by what stands in their first column."""
    return {next(iter(row.values())): row for row in rows}


def test_no_table_is_without_a_test(shown):
    """A table that is new needs a test here of what stands under its headers."""
    tested = {
        "Spearman rank correlation of influence", "Causal check on fresh probes", "Rules of the causal check",
        "Selection by domain", "Arms", "Overlap of the arms",
        "Of the selection, also in the control of the same domain",
        "What each rule drops", "Skipped rows by reason",
        "Stages", "Exact match by task, %", "Test accuracy", "Accuracy of weak labels",
        "Controls", "Figures",
        "Held-out loss by domain; its course after the first fifth of the steps, each on a scale of its own",
    }  # fmt: skip
    settings = {name for name in shown if name == "Recipe as resolved" or (": " in name and name.split(": ")[1] in (
        "identity", "running", "versions", "inputs"))}  # fmt: skip
    assert set(shown) - settings == tested
    assert {"scores: identity", "selection: identity", "train: running"} <= settings


def test_skipped_rows_by_reason(shown, stored):
    skipped = [row for row in stored["scores"] if row["status"] == "skipped"]
    reasons = [row["reason"] for row in skipped]
    for row in shown["Skipped rows by reason"]:
        n = reasons.count(row["reason"])
        assert row["rows"] == count(n)
        assert row["share"] == fraction(n / len(reasons))
        assert row["first such row"] == next(own["id"] for own in skipped if own["reason"] == row["reason"])
    assert {row["reason"] for row in shown["Skipped rows by reason"]} == set(reasons)


def test_what_each_rule_drops(shown, made):
    found = json.loads(made.folder.read("rules/card.json"))["rules"]
    *each, total = shown["What each rule drops"]
    for one, row in zip(found["rules"], each, strict=True):
        assert row == {
            "rule": one["rule"], "rows dropped": count(one["dropped"]), "by it alone": count(one["alone"]),
            "of scored rows": fraction(one["dropped"] / found["rows"]), "first reason of": count(one["first"]),
        }  # fmt: skip
    dropped = found["rows"] - found["kept"]
    assert total == {
        "rule": "any of them", "rows dropped": count(dropped), "of scored rows": fraction(dropped / found["rows"]),
        "by it alone": count(sum(one["alone"] for one in found["rules"])), "first reason of": count(dropped),
    }  # fmt: skip
    assert sum(one["first"] for one in found["rules"]) == dropped


def chosen(stored, arm: str, domain: str | None) -> set[str]:
    return {row["id"] for row in stored[arm] if row["selected"] and domain in (None, row["domain"])}


def test_selection_by_domain(shown, stored):
    every = sum(
        s["n_tokens_total"] for s, p in zip(stored["scores"], stored["selection"], strict=True) if p["selected"]
    )
    for row in shown["Selection by domain"]:
        own = [
            (score, pick)
            for score, pick in zip(stored["scores"], stored["selection"], strict=True)
            if row["domain"] in ("all", score["domain"])
        ]
        selected = [score for score, pick in own if pick["selected"]]
        n_eligible = sum(pick["rank"] is not None and pick["split"] != "heldout" for _, pick in own)
        tokens = sum(score["n_tokens_total"] for score in selected)
        tokens_all = sum(score["n_tokens_total"] for score, _ in own if score["status"] == "scored")
        assert row == {
            "domain": row["domain"], "rows": count(len(own)), "eligible": count(n_eligible),
            "held out": count(sum(pick["split"] == "heldout" for _, pick in own)), "selected": count(len(selected)),
            "of eligible": fraction(len(selected) / n_eligible), "tokens selected": count(tokens),
            "of tokens": fraction(tokens / tokens_all), "of all selected tokens": fraction(tokens / every),
            "threshold": "" if row["domain"] == "all" else value(min(score["influence"] for score in selected)),
        }  # fmt: skip
    assert len(shown["Selection by domain"]) == 9


def test_arms(shown, stored):
    scored = [row for row in stored["scores"] if row["status"] == "scored"]
    tokens_all = sum(row["n_tokens_total"] for row in scored)
    rows = by_first(shown["Arms"])
    for arm in (*ARMS, "all scored documents"):
        ids = {row["id"] for row in scored} if arm not in stored else chosen(stored, arm, None)
        own = [row for row in scored if row["id"] in ids]
        tokens = sum(row["n_tokens_total"] for row in own)
        median = {
            name: value(float(np.median([row[name] for row in own]))) for name in ("influence", "loss", "zlib_ratio")
        }
        assert rows[arm] == {
            "arm": arm, "documents": count(len(own)), "tokens": count(tokens),
            "of all tokens": fraction(tokens / tokens_all),
            "median influence": median["influence"], "median loss": median["loss"],
            "median zlib ratio": median["zlib_ratio"], "mean tokens": count(tokens / len(own)),
        }  # fmt: skip


def test_overlap_of_the_arms(shown, stored):
    for row in shown["Overlap of the arms"]:
        arm = row.pop("of the documents of ↓ also in →")
        own = chosen(stored, arm, None)
        assert row == {other: fraction(len(own & chosen(stored, other, None)) / len(own)) for other in ARMS}


def test_overlap_within_domains(shown, stored):
    for row in shown["Of the selection, also in the control of the same domain"]:
        domain = None if row["domain"] == "all" else row["domain"]
        own = chosen(stored, "selection", domain)
        shares = {arm: fraction(len(own & chosen(stored, arm, domain)) / len(own)) for arm in ARMS[1:]}
        assert row == {"domain": row["domain"], "selected": count(len(own)), **shares}


def test_correlations(shown, stored):
    scored = [row for row in stored["scores"] if row["status"] == "scored"]
    columns = {"length": "n_tokens", "loss": "loss", "zlib ratio": "zlib_ratio"}
    rows = by_first(shown["Spearman rank correlation of influence"])
    for name, row in rows.items():
        if name == "mean within domains":
            continue
        own = [one for one in scored if name in ("all domains together", one["domain"])]
        assert row["documents"] == count(len(own))
        for header, column in columns.items():
            found = spearmanr([one["influence"] for one in own], [one[column] for one in own]).statistic
            assert row[header].removesuffix(" ▲") == signed(found)


def test_causal_check(shown, record):
    rows = by_first(shown["Causal check on fresh probes"])
    named = {"intact model": record["intact"], "chosen heads neutralised": record["chosen"]}
    named |= {f"random draw {i}, same layers": draw for i, draw in enumerate(record["draws"], 1)}
    assert set(rows) == set(named)
    for name, found in named.items():
        rises = ("–", "–") if name == "intact model" else tuple(
            signed(found[key] - record["intact"][key]) for key in ("loss", "prose_loss"))  # fmt: skip
        assert rows[name] == {
            "model": name, "answer loss, nats": value(found["loss"]),
            "answer tokens right": fraction(found["accuracy"]),
            "prose loss": value(found["prose_loss"]), "rise on answers": rises[0], "rise on prose": rises[1],
        }  # fmt: skip


def test_rules(shown, record):
    expected = [
        {"rule": rule["rule"], "value": value(rule["value"]), "bar": value(rule["bar"]), "outcome": "✓ passed"}
        for rule in record["rules"]
    ]
    assert shown["Rules of the causal check"] == expected


def test_heldout_losses(made, shown):
    (caption,) = (name for name in shown if name.startswith("Held-out loss"))
    names = sorted(e.path for e in (made.folder / "train/metrics").files())
    lines = [json.loads(line) for name in names for line in (made.folder / "train/metrics").read(name).splitlines()]
    for row in shown[caption]:
        own = {
            line["step"]: line["heldout_loss"] if row["domain"] == "all" else line["heldout_by_domain"][row["domain"]]
            for line in lines
            if "heldout_loss" in line
        }
        best = min(own, key=own.get)
        assert (row["best"], row["at step"], row["last"]) == (value(own[best], 4), count(best), value(own[600], 4))
    assert len(shown[caption]) == 10


def test_stages(made, shown):
    for row in shown["Stages"]:
        card = json.loads(made.folder.read(f"{row['stage']}/card.json"))
        times = card.get("times", {})
        assert row == {
            "stage": row["stage"], "status": card["status"], "started": moment(times.get("started")),
            "took": duration(times.get("wall_s")), "device-hours": cost(times["busy_s"]) if "busy_s" in times else "–",
            "rows": count(card["counts"]["rows"]) if "rows" in card.get("counts", {}) else "–",
        }  # fmt: skip


def test_settings(made, shown):
    card = json.loads(made.folder.read("scores/card.json"))
    rows = {row["setting"]: row["value"] for row in shown["scores: identity"]}
    assert rows["max_tokens"] == str(card["identity"]["max_tokens"])
    assert rows["scorers"] == "influence"
    assert {row["setting"]: row["value"] for row in shown["train: running"]} == {"workers": "1"}
    assert {row["setting"]: row["value"] for row in shown["Figures"]}["macro.f1"] == "0.75"


def test_exact_match(shown):
    rows = by_first(shown["Exact match by task, %"])
    for name, own in CHOICES["tasks"].items():
        assert rows[name]["n"] == count(own["n"])
        for contender, ends in own["accuracy"].items():
            low, high = 100 * ends["low"], 100 * ends["high"]
            assert rows[name][contender] == f"{100 * ends['mean']:.1f} [{low:.1f}, {high:.1f}]"
    mean = CHOICES["mean_over_tasks"]
    for name, kind in (("mean of tasks", "accuracy"), ("mean, natural", "natural")):
        assert rows[name]["finetuned"].startswith(f"{100 * mean[kind]['finetuned']['mean']:.1f} [")


def test_accuracies_over_seeds(shown):
    rows = by_first(shown["Test accuracy"])
    for name, own in SEEDS["test_accuracy"].items():
        assert (rows[name]["mean"], rows[name]["95 % over seeds"]) == (
            value(own["mean"]), f"{value(own['interval'][0])} to {value(own['interval'][1])}")  # fmt: skip
    assert rows["strong-xent"]["gap recovered"] == value(SEEDS["recovered"]["strong-xent"]["pgr"])
    assert rows["weak"]["gap recovered"] == "–"
    assert by_first(shown["Accuracy of weak labels"])["weak"]["mean"] == value(SEEDS["weak_labels"]["weak"]["mean"])
    (control,) = shown["Controls"]
    assert list(control.values()) == ["shuffled labels against the majority", "0.001", "0.023", "✓ passed"]
