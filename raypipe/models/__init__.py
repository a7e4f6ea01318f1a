"""Models opened safely, in one place: causal language models, their vocabularies, and shapes to start from."""
