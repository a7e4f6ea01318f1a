"""What the pipeline asks of Ray Data."""

from ray.data._internal.execution import streaming_executor_state

from raypipe.contracts.op import Pool
from raypipe.run import pipeline


def test_ray_still_has_the_wait_that_is_shortened(monkeypatch):
    name = "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S"
    monkeypatch.setattr(streaming_executor_state, name, getattr(streaming_executor_state, name))
    pipeline._look_often()
    assert getattr(streaming_executor_state, name) == pipeline.LOOK_EVERY_S
    assert name in streaming_executor_state.process_completed_tasks.__code__.co_names  # and reads it each time


def test_a_wave_lasts_however_many_workers_there_are():
    assert [pipeline._wave(Pool(max_workers=n)) for n in (1, 8, 100, 1000)] == [5_000, 5_000, 10_000, 100_000]
