"""raypipe chooses the data that language models are trained on, with small models and no labels."""

__version__ = "0.1.0"
