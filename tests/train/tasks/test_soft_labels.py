"""The task of soft labels: its loss, its count of steps, and resuming."""

import numpy as np
import pytest
import torch

from raypipe.contracts.rows import Document
from raypipe.losses.soft_labels import Confidence, CrossEntropy
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout, ExampleLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import plainly
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.loop.finite import NotFinite
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.loop import Stopped, train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.predict import class_probabilities
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.soft_labels import SoftLabelHead
from tests.train.parts import HERE
from tests.train.synthetic import VOCABULARY

N_STEPS = 8


def classifier(n_classes=2):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_labels=n_classes,
        )
    )


def documents(n=24):
    rng = np.random.default_rng(0)
    share = rng.random(n)
    return [
        Document(rng.integers(0, VOCABULARY, 5).astype(np.int32), "all", "x", row, soft_label=np.array([1 - p, p]))
        for row, p in enumerate(share)
    ]


def go(folder, loss, *, stop_at=None, n_steps=N_STEPS):
    """Train; the losses of the steps and the task."""
    task, calls = SoftLabelHead(classifier(), loss, n_steps=n_steps), iter(range(100))
    layout = BatchLayout(0, 1, 8, 8)
    engine = TorchEngine(
        task.models, Optimiser(learning_rate=1e-2), n_micro=layout.n_micro, precision=Precision(), workers=HERE
    )
    train(
        task,
        engine,
        ExampleLoader(documents(), [], layout, 0, task.count),
        TrainingPlan(n_steps, Schedule()),
        checkpoints=Checkpoints(Folder(str(folder)) / "checkpoints", HERE, {}),
        meter=Meter(Journal(Folder(str(folder)) / "metrics"), learning_rate=1e-2, on_step=lambda line: None),
        asked=lambda: "stop" if stop_at is not None and next(calls) >= stop_at - 1 else None,
    )
    return [line["loss"] for line in read_journal(Folder(str(folder)) / "metrics")], task


def test_the_loss_is_told_the_share_of_steps_that_are_done(tmp_path):
    seen = []

    class Listening(CrossEntropy):
        def __call__(self, logits, soft_labels, step_fraction):
            seen.append(step_fraction)
            return super().__call__(logits, soft_labels, step_fraction)

    go(tmp_path, Listening())
    assert seen == [step / N_STEPS for step in range(N_STEPS)]


def test_a_stop_changes_neither_schedule_nor_curve(tmp_path):
    loss = Confidence(aux_warmup=0.5)
    whole, task = go(tmp_path / "whole", loss)
    with pytest.raises(Stopped, match="step 3 of 8"):
        go(tmp_path / "stopped", loss, stop_at=3)
    again, resumed = go(tmp_path / "stopped", loss)
    assert again == whole
    assert resumed.state()["step"] == task.state()["step"] == N_STEPS
    plain, _ = go(tmp_path / "plain", CrossEntropy())
    assert plain[0] == whole[0]
    assert plain[-1] != whole[-1]  # else the count of steps wouldn't have mattered


def test_held_out_documents_are_measured_by_cross_entropy():
    task = SoftLabelHead(classifier(), Confidence(), n_steps=2)
    task.load_state({"step": torch.tensor(2)})
    tensors = task.collate(documents(), torch.device("cpu"))
    trained = task.loss(plainly(task.models), tensors).losses
    task.module.eval()
    measured = task.loss(plainly(task.models), tensors).losses
    torch.testing.assert_close(measured, CrossEntropy()(task.module(tensors["batch"]), tensors["labels"], 0.0))
    assert not torch.allclose(trained, measured)


def test_probabilities_are_those_of_transformers_one_document_at_a_time():
    task, rows = SoftLabelHead(classifier(), CrossEntropy(), n_steps=1), documents(5)
    found = class_probabilities(task.module, rows, batch=2)
    plain = classifier().eval()
    for at, row in enumerate(rows):
        logits = plain(input_ids=torch.from_numpy(row.ids.astype(np.int64))[None]).logits[0]
        np.testing.assert_allclose(found[at], logits.softmax(dim=0).detach().numpy(), atol=1e-6)
    assert class_probabilities(task.module, [], batch=2).shape == (0, 2)


def test_probabilities_that_arent_finite_are_refused_with_their_documents():
    task, rows = SoftLabelHead(classifier(), CrossEntropy(), n_steps=1), documents(5)
    task.module.classifier.score.weight.data.fill_(float("nan"))
    with pytest.raises(NotFinite, match="aren't finite to: x:0, x:1, x:2, x:3, x:4"):
        class_probabilities(task.module, rows, batch=2)


@pytest.mark.parametrize(("soft_label", "said"), [(None, "got none"), (np.ones(3) / 3, "got 3 numbers")])
def test_a_document_without_its_soft_label_is_refused(soft_label, said):
    task = SoftLabelHead(classifier(), CrossEntropy(), n_steps=1)
    document = Document(np.array([1], np.int32), "all", "rows.parquet", 7, soft_label=soft_label)
    with pytest.raises(ValueError, match=rf"must have the 2 classes of the head, {said} \(rows.parquet:7\)"):
        task.collate([document], torch.device("cpu"))
