"""What a job loads before it has anything to do: help and settings need none of the heavy libraries."""

import json
import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "ray",
    "duckdb",
    "scipy",
    "pandas",
    "sklearn",
    "deepspeed",
    "boto3",
    "altair",
    "optuna",
)
LIGHT_JOBS = (
    "curate",
    "score_corpus",
    "find_heads",
    "select_corpus",
    "show_run",
    "tokenize_corpus",
    "pretrain",
    "finetune",
    "weak_to_strong",
    "debate",
    "tune",
    "ablate",
    "predict",
    "gather",
    "label_corpus",
    "learn_functions",
    "label_sections",
    "augment_texts",
    "label_concept",
    "choose_answers",
    "embed_corpus",
    "evaluate_retrieval",
    "mine_negatives",
    "describe_corpus",
)
LIGHT_BENCHMARKS = ("benchmark scoring", "benchmark workers", "benchmark chaos", "benchmark gpu", "benchmark training")


def run_python(code, *words):
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_loads_no_heavy_library():
    """One process asks for all of them: none but the first to load a library is to blame."""
    code = """
import contextlib, io, json, runpy, sys
found = {}
for job in sys.argv[1:]:
    name, *words = job.split()
    sys.argv = [name, *words, "--help"]
    said = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
        runpy.run_module(f"jobs.{name}", run_name="__main__")
    found[job] = [len(said.getvalue()), [*sys.modules]]
print(json.dumps(found))
"""
    jobs = LIGHT_JOBS + LIGHT_BENCHMARKS
    found = json.loads(run_python(code, *jobs))
    assert [*found] == [*jobs]
    assert {job: sorted(set(HEAVY) & set(modules)) for job, (_, modules) in found.items()} == {job: [] for job in jobs}
    assert min(n_characters for n_characters, _ in found.values()) > 200


def test_settings_can_be_had_without_torch():
    code = """
import importlib, sys
for name in ("torch", "transformers", "sklearn"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(f"jobs.{name}").Config
"""
    run_python(code, *LIGHT_JOBS)


def test_help_into_a_pipe_that_closes_ends_without_a_word():
    job = subprocess.Popen(
        [sys.executable, "-m", "jobs.score_corpus", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    job.stdout.read(1)
    job.stdout.close()
    assert job.stderr.read() == b""
    job.stderr.close()
    job.wait(timeout=60)


def test_other_libraries_show_no_bars_in_a_job(tmp_path):
    code = """
import sys
from jobs.parts.common import run_job
run_job(lambda: __import__("transformers").utils.logging.is_progress_bar_enabled() * 7)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
