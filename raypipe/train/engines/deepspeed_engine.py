"""The DeepSpeed engine: optimiser state (ZeRO 1), gradients (2) and weights (3) are spread over the workers.

Checkpoints are DeepSpeed's own, one file a worker. They hold pickles: the caller gives `load` only files whose SHA-256
it has compared. After a change of the number of workers they go through DeepSpeed's universal format.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser, all_finite, set_learning_rate, unique
from raypipe.train.engines.workers import Workers
from raypipe.train.engines.zero import Zero

TAG = "state"
UNIVERSAL = "universal"
INSTALL = "DeepSpeed isn't installed; pip install --no-build-isolation 'raypipe[train]', or --engine torch"


class DeepSpeedEngine:
    """DeepSpeed behind the loop's seam; needs a process group, of one worker at least."""

    def __init__(
        self,
        module: nn.Module,
        optimiser: Optimiser,
        *,
        zero: Zero,
        n_micro: int,
        precision: Precision,
        workers: Workers,
    ) -> None:
        deepspeed = import_deepspeed()
        if optimiser.optimiser != "adamw":
            raise ValueError(f"optimiser {optimiser.optimiser!r} needs the torch engine: ZeRO splits matrices.")
        if zero.offload and workers.device.type == "cpu":
            raise ValueError("offload moves state from a GPU to its host, but this worker has no GPU.")
        os.environ.setdefault("LOCAL_RANK", str(workers.local_rank))
        if not torch.distributed.is_initialized():
            deepspeed.init_distributed(
                "nccl" if workers.device.type == "cuda" else "gloo", auto_mpi_discovery=False,
                init_method=f"file://{tempfile.mkdtemp()}/group", rank=0, world_size=1, verbose=False,
            )  # fmt: skip
        self.workers, self._zero, self._deepspeed = workers, zero, deepspeed
        (self._client,) = optimiser.build(module)
        self._trained = [weight for _, weight in unique(module.named_parameters()) if weight.requires_grad]
        config = _config(zero, optimiser, precision, n_micro=n_micro, world=workers.world)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._engine, *_ = deepspeed.initialize(model=module, optimizer=self._client, config=config)
        self._engine.train()
        self._n_backward = 0
        self.module: Callable[..., Any] = self._engine

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients; DeepSpeed divides by the number of passes."""
        if self._n_backward:
            self._engine.step()  # inside a step it only counts the pass
        self._engine.backward(loss)
        self._n_backward += 1

    def gradient_norm(self) -> float:
        """From the parts that each worker holds; the last backward pass has exchanged them.

        Measured here and not asked of DeepSpeed: it knows its norm only once the weights are updated, and passes over a
        step whose norm isn't finite without a word (or, in stage 0, takes it).
        """
        squares = sum(float(part.double().square().sum()) for part in local_gradients(self._trained))
        is_spread = self._zero.zero_stage > 0
        total = self.workers.sum(np.array([squares]))[0] if is_spread else squares
        return float(np.sqrt(total))

    def step(self, factor: float) -> None:
        """Update the weights; DeepSpeed clips."""
        set_learning_rate(self._engine.optimizer.param_groups, factor)
        self._engine.step()
        self._n_backward = 0

    def is_finite(self) -> bool:
        """Whether the parts of weights and moments that any worker holds are."""
        held = self._client.state.items()
        moments = [value for weight, state in held for value in (weight, *state.values())]
        bad = not all_finite([*moments, *(weight.data for weight in self._trained)])
        return not self.workers.sum(np.array([float(bad)]))[0]

    def save(self, folder: Path) -> None:
        """This worker's part."""
        self._engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        _without_scripts(folder)

    def load(self, folder: Path, *, world: int) -> None:
        """The same number of workers read their parts; another number, the universal format."""
        tag = TAG
        if world != self.workers.world and self._zero.zero_stage > 0:
            if self.workers.local_rank == 0:
                _to_universal(folder)
            self.workers.gather(None)
            tag, self._engine._config.load_universal_checkpoint = UNIVERSAL, True
        path, _ = self._engine.load_checkpoint(str(folder), tag=tag)
        if path is None:
            raise ValueError(f"DeepSpeed found no state in {folder}.")
        self._engine._config.load_universal_checkpoint = False

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights by name, gathered one after another where they are spread."""
        found: dict[str, torch.Tensor] = {}
        for name, weight in unique(self._engine.module.named_parameters()):
            if not weight.requires_grad:
                continue
            with self._deepspeed.zero.GatheredParameters([weight], enabled=self._zero.zero_stage == 3):
                if self.workers.rank == 0:
                    found[name] = weight.detach().float().cpu().clone()
        return found


def local_gradients(weights: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The parts of the gradients that this worker holds, between a step's last backward pass and its update."""
    from deepspeed.utils import safe_get_local_grad

    for weight in weights:
        if hasattr(weight, "ds_id"):  # stage 3
            yield safe_get_local_grad(weight)
        elif getattr(weight, "_hp_mapping", None) is not None:  # stages 1 and 2: the part that this worker updates
            yield weight._hp_mapping.get_lp_grad_fragment(weight._index_in_param_group)
        elif not hasattr(weight, "_hp_mapping") and weight.grad is not None:  # stage 0: all of it
            yield weight.grad


def import_deepspeed() -> Any:
    """The library, told to use what this machine has.

    Raises
    ------
    ValueError
        If it isn't installed, with the command that does it.
    """
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    try:
        import deepspeed
    except ImportError as error:
        raise ValueError(INSTALL) from error
    # gloo serves CPUs; the shared-memory collective would be compiled with g++ at every first start
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def _config(zero: Zero, optimiser: Optimiser, precision: Precision, *, n_micro: int, world: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"stage": zero.zero_stage}
    if zero.offload:
        settings["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": n_micro,
        "train_batch_size": n_micro * world,
        "gradient_clipping": optimiser.clip,
        "zero_optimization": settings,
        "bf16": {"enabled": precision.dtype == "bfloat16"},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1 << 30,
    }


def _without_scripts(folder: Path) -> None:
    """DeepSpeed leaves programs beside its checkpoints; what is resumed from holds state only."""
    for script in folder.glob("*.py"):
        script.unlink(missing_ok=True)


def _to_universal(folder: Path) -> None:
    shutil.rmtree(folder / UNIVERSAL, ignore_errors=True)
    module = "deepspeed.checkpoint.ds_to_universal"
    done = subprocess.run(
        [sys.executable, "-m", module, "--input_folder", str(folder / TAG), "--output_folder", str(folder / UNIVERSAL),
         "--inject_missing_state", "--num_extract_workers", "1", "--num_merge_workers", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(f"the checkpoint can't be brought to another number of workers: {done.stderr[-1000:]}")
