"""Names of Ray, transformers and DeepSpeed that nobody promised us: a version that drops one fails here, not in a run.

They are looked up in the installed packages' text, which needs neither a cluster nor seconds of loading.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

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
]


@pytest.mark.parametrize(("package", "file", "name", "why"), NAMES)
def test_a_private_name_that_we_use_is_there(package, file, name, why):
    found = find_spec(package)
    if found is None:
        pytest.skip(f"{package} isn't installed")
    path = Path(found.origin).parent / file
    assert path.is_file(), f"{path} is gone; {why}"
    assert name in path.read_text(encoding="utf-8"), f"{name!r} is gone from {path}; {why}"
