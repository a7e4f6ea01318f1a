"""Familiarity by logits beside pytorch-ood; skips itself where that isn't.

Its detectors of logits need no torchvision, whose builds go with few of torch's: a wrong one beside it would also break
transformers for all other comparisons. So it is installed without, and what it imports of it is stood in for.

With STORE=1 what it says is stored for tests without it.
"""

import json
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock, patch

import numpy as np
import pytest
import torch

from raypipe.classify.open_set import SCORERS

pytestmark = pytest.mark.parity
TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.models", "torchvision.models.resnet")
STORED = Path(__file__).parents[1] / "classify" / "stored" / "pytorch_ood.json"
if find_spec("pytorch_ood") is None:
    pytest.skip("there is no pytorch-ood", allow_module_level=True)
with patch.dict(sys.modules, {name: MagicMock() for name in TORCHVISION}):
    from pytorch_ood.detector import EnergyBased, MaxLogit, MaxSoftmax
THEIRS = {"max-logit": MaxLogit, "max-probability": MaxSoftmax, "energy": EnergyBased}


def test_what_is_stored_is_what_pytorch_ood_says() -> None:
    logits = np.round(np.random.default_rng(0).normal(size=(40, 6)) * 3, 2)
    said = {name: of.score(torch.tensor(logits)).tolist() for name, of in THEIRS.items()}
    found = {"versions": {"pytorch-ood": version("pytorch-ood")}, "logits": logits.tolist(), **said}
    if os.environ.get("STORE"):
        STORED.write_text(json.dumps(found) + "\n")
    stored = json.loads(STORED.read_text())
    assert found["logits"] == stored["logits"]
    for name in SCORERS:
        np.testing.assert_allclose(found[name], stored[name], rtol=1e-12)
