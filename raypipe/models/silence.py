"""No progress bars of other libraries while a model is opened or written: a job has one display of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


@contextmanager
def without_bars() -> Iterator[None]:
    """Whatever transformers shows meanwhile is not shown; afterwards it is as it was."""
    from transformers import modeling_gguf_pytorch_utils as reader_of_gguf  # its bar heeds no setting
    from transformers.utils import logging

    were_on, bar = logging.is_progress_bar_enabled(), reader_of_gguf.tqdm
    logging.disable_progress_bar()
    reader_of_gguf.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reader_of_gguf.tqdm = bar
        if were_on:
            logging.enable_progress_bar()
