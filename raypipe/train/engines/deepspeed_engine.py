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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from raypipe.contracts.task import TRAINED, Models, Tensors
from raypipe.train.engines.averages import Averages
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import placed, stand_in, trained_weights
from raypipe.train.engines.optimiser import Optimiser, all_finite, set_learning_rate
from raypipe.train.engines.workers import Workers
from raypipe.train.engines.zero import Zero
from raypipe.train.engines.zero_handles import ZeroGradients, ZeroWeights, masters_of

AVERAGES = "averages.safetensors"
TAG = "state"
UNIVERSAL = "universal"
INSTALL = "DeepSpeed isn't installed; pip install --no-build-isolation 'raypipe[train]', or --engine torch"


class DeepSpeedEngine:
    """DeepSpeed behind the loop's seam; needs a process group, of one worker at least."""

    def __init__(
        self,
        models: Models,
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
        self.workers, self._zero = workers, zero
        self._averages, self._exported = Averages(models, workers.device), models.exported
        (self._client,) = optimiser.build(models.trained)
        named = trained_weights(models.trained)
        config = _config(zero, optimiser, precision, n_micro=n_micro, world=workers.world)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._engine, *_ = deepspeed.initialize(model=models.trained, optimizer=self._client, config=config)
        self._engine.train()
        self._n_backward = 0
        self._weights = ZeroWeights(named, masters_of(self._engine), self._client)
        self._gradients = ZeroGradients(named)
        self.weights: Tensors = self._weights
        self.gradients: Tensors = self._gradients
        dtype = getattr(torch, precision.dtype)
        self.models = placed(models, self._engine, self._averages.modules, device=workers.device, dtype=dtype)
        self.measured = stand_in(self.models, models.exported)

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients; DeepSpeed divides by the number of passes."""
        if self._n_backward:
            self._engine.step()  # inside a step it only counts the pass
        self._engine.backward(loss)
        self._n_backward += 1

    def exchange(self) -> None:
        """Nothing: the last backward pass has done it."""

    def gradient_norm(self) -> float:
        """From the parts that each worker holds.

        Measured here and not asked of DeepSpeed: it knows its norm only once the weights are updated, and passes over a
        step whose norm isn't finite without a word (or, in stage 0, takes it).
        """
        squares = sum(float(part.double().square().sum()) for part in self._gradients.parts())
        is_spread = self._zero.zero_stage > 0
        total = self.workers.sum(np.array([squares]))[0] if is_spread else squares
        return float(np.sqrt(total))

    def step(self, factor: float) -> None:
        """Update the weights; DeepSpeed clips."""
        set_learning_rate(self._engine.optimizer.param_groups, factor)
        self._engine.step()
        self._n_backward = 0

    def average(self) -> None:
        """Draw the averages towards the weights."""
        self._averages.update(self.weights)

    def is_finite(self) -> bool:
        """Whether the parts of weights and moments that any worker holds are."""
        held = self._client.state.items()
        moments = [value for weight, state in held for value in (weight, *state.values())]
        bad = not all_finite([*moments, *self._weights.parts()])
        return not self.workers.sum(np.array([float(bad)]))[0]

    def save(self, folder: Path) -> None:
        """This worker's part; the first one's holds the averages."""
        self._engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        _without_scripts(folder)
        if self.workers.rank == 0 and self._averages.modules:
            save_file(self._averages.state(), folder / AVERAGES)

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
        if self._averages.modules:
            self._averages.load(load_file(folder / AVERAGES))

    def exported(self) -> dict[str, torch.Tensor]:
        """The weights of the model that is exported, gathered one after another where they are spread."""
        if self._exported != TRAINED:
            return self._averages.weights(self._exported) if self.workers.rank == 0 else {}
        found: dict[str, torch.Tensor] = {}
        for name in self.weights.names():
            whole = self.weights.read(name)  # together: it may have to be gathered
            if self.workers.rank == 0:
                found[name] = whole.to("cpu", torch.float32, copy=True)
        return found


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
