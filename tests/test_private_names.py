"""Names of Ray, transformers and DeepSpeed that nobody promised us: a version that drops one fails here, not in a run.

They are looked up in the installed packages' text, which needs neither a cluster nor seconds of loading. Names with an
underscore are found in our code, so none can be forgotten here; those without one (DeepSpeed's attributes of weights,
variables of the environment) are listed by hand.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

ZERO = "train/engines/zero_handles.py: "
DOCUMENTED = {"_exit", "_replace", "_typeshed"}
"""Python's own, whatever they look like."""
ADMISSION = "run/admission.py: a refusal at once"
NAMES = [
    ("ray", "_private/state.py", "def get_draining_nodes(", "run/nodes.py: nodes about to be taken away"),
    ("ray", "_private/state.py", "\nstate = ", "run/nodes.py: the state that is asked"),
    (
        "ray",
        "data/_internal/execution/streaming_executor_state.py",
        "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S",
        "run/pipeline.py: how long Ray Data waits between looks",
    ),
    ("transformers", "modeling_gguf_pytorch_utils.py", "in tqdm(reader.tensors", "models/silence.py: its bar"),
    ("deepspeed", "runtime/engine.py", "self._config", "train/engines/deepspeed_engine.py: another number of workers"),
    ("deepspeed", "runtime/config.py", "self.load_universal_checkpoint", "train/engines/deepspeed_engine.py: the same"),
    ("deepspeed", "checkpoint/ds_to_universal.py", "", "train/engines/deepspeed_engine.py: the universal format"),
    ("deepspeed", "utils/__init__.py", "safe_get_local_grad", "train/engines/deepspeed_engine.py: gradients"),
    ("deepspeed", "utils/tensor_fragment.py", "def get_lp_grad_fragment(", ZERO + "gradients of stages 1 and 2"),
    ("deepspeed", "utils/tensor_fragment.py", "_index_in_param_group", ZERO + "the same"),
    ("deepspeed", "utils/mixed_precision_linkage.py", "lp_param._hp_mapping = ", ZERO + "a worker's part"),
    ("deepspeed", "runtime/zero/partition_parameters.py", "param.ds_id = ", ZERO + "weights of stage 3"),
    ("deepspeed", "runtime/zero/partition_parameters.py", "param.ds_tensor = ", ZERO + "a part of one"),
    ("deepspeed", "runtime/zero/partition_parameters.py", "param.ds_shape = ", ZERO + "its whole shape"),
    ("deepspeed", "runtime/zero/partition_parameters.py", "param.ds_numel = ", ZERO + "the same"),
    ("deepspeed", "runtime/zero/partition_parameters.py", "param.ds_process_group = ", ZERO + "who has the others"),
    ("deepspeed", "runtime/fp16/unfused_optimizer.py", "self.fp32_groups", ZERO + "masters of stage 0 in bfloat16"),
    ("deepspeed", "runtime/fp16/fused_optimizer.py", "self.fp16_groups", ZERO + "the same"),
    *(
        ("deepspeed", "utils/tensor_fragment.py", f"def safe_{name}(", ZERO + "handles")
        for name in (
            "get_full_fp32_param",
            "set_full_fp32_param",
            "set_local_fp32_param",
            "get_full_grad",
            "set_full_grad",
            "set_local_grad",
            "get_local_grad",
        )
    ),
    ("deepspeed", "ops/__init__.py", "__compatible_ops__", "train/engines/deepspeed_engine.py: no compiler needed"),
    ("transformers", "configuration_utils.py", "_attn_implementation", "train/weights/export.py: left to the reader"),
    ("ray", "_private/authentication/authentication_token_setup.py", "def ensure_token_if_auth_enabled(", ADMISSION),
    ("ray", "_private/services.py", "def canonicalize_bootstrap_address(", ADMISSION),
    ("ray", "_private/node.py", "from ray._raylet import (", ADMISSION),
    ("ray", "_private/node.py", "client = GcsClient(", ADMISSION),
    ("ray", "_private/ray_constants.py", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "run/__init__.py: loopback only"),
    ("ray", "dashboard/modules/dashboard_sdk.py", "def _do_request(", "jobs/submit.py: what a head answers"),
    ("ray", "tune/callback.py", "def on_experiment_end(", "run/sweep_keeper.py: trials that Tune lost"),
    ("ray", "tune/execution/tune_controller.py", "on_trial_recover(", "run/sweep_keeper.py: deaths"),
    ("ray", "tune/trainable/function_trainable.py", "TUNE_FUNCTION_THREAD_TIMEOUT_S", "run/sweep.py: time to let go"),
    *(
        ("ray", file, name, "run/sweep.py: ENVIRONMENT")
        for file, name in (
            ("tune/tune.py", "TUNE_DISABLE_SIGINT_HANDLER"),
            ("tune/utils/callback.py", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"),
            ("train/constants.py", "RAY_CHDIR_TO_TRIAL_DIR"),
            ("tune/experimental/output.py", "RAY_AIR_NEW_OUTPUT"),
        )
    ),
]

OURS = [
    path for folder in ("raypipe", "jobs") for path in (ROOT / folder).rglob("*.py") if "benchmark" not in path.parts
]
DEFINED = set(
    re.findall(
        r"(?:def |class |self\.|cls\.|^ *|import |, )(_[a-z]\w*)(?= *[=:(,]| as |$)",
        "\n".join(path.read_text(encoding="utf-8") for path in OURS),
        re.MULTILINE,
    )
)


@pytest.mark.parametrize(("package", "file", "name", "why"), NAMES)
def test_a_private_name_that_we_use_is_there(package, file, name, why):
    found = find_spec(package)
    if found is None:
        pytest.skip(f"{package} isn't installed")
    path = Path(found.origin).parent / file
    assert path.is_file(), f"{path} is gone; {why}"
    assert name in path.read_text(encoding="utf-8"), f"{name!r} is gone from {path}; {why}"


def test_every_private_name_in_our_code_is_looked_for() -> None:
    known = " ".join(f"{file} {name}".replace("/", ".") for _, file, name, _ in NAMES)
    known = {word for word in re.findall(r"\w+", known) if word.startswith("_")} | DOCUMENTED
    used = {name: file for path in OURS for name, file in private_names(path).items()}
    assert {"_private", "_internal", "_hp_mapping"} <= used.keys()
    assert {name: file for name, file in used.items() if name not in known} == {}


def private_names(path: Path) -> dict[str, str]:
    """Private names in a file that no file of ours defines, each with the file."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update([*(node.module or "").split("."), *(alias.name for alias in node.names)])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"getattr", "hasattr", "setattr"}:
            found.update(str(part.value) for part in node.args[1:2] if isinstance(part, ast.Constant))
    return {name: path.name for name in found if re.match(r"_[a-z]", name) and name not in DEFINED}
