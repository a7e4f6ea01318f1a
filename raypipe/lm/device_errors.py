"""What torch raises where a device fails, as the runner knows it: it knows no torch."""

from collections.abc import Iterator
from contextlib import contextmanager

from raypipe.models.causal import DeviceLost


@contextmanager
def device_errors() -> Iterator[None]:
    """An allocation that failed, on any device, as MemoryError; a lost device as DeviceLost."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except torch.AcceleratorError as error:  # an illegal access or a failed assertion: every later call fails too
        raise DeviceLost(str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        raise
