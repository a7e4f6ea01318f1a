"""Other libraries are silent while a model is opened or written: a job has one display of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


@contextmanager
def in_silence() -> Iterator[None]:
    """Whatever transformers shows meanwhile but errors is not shown; afterwards it is as it was.

    Nor are its tables of missing and left-over weights: who opens a model refuses those by name, or expects them.
    """
    from transformers import modeling_gguf_pytorch_utils as reader_of_gguf  # its bar heeds no setting
    from transformers.utils import logging

    were_on, bar, level = logging.is_progress_bar_enabled(), reader_of_gguf.tqdm, logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    reader_of_gguf.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reader_of_gguf.tqdm = bar
        logging.set_verbosity(level)
        if were_on:
            logging.enable_progress_bar()
