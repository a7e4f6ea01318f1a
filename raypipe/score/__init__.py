"""Rows to scores: the forward pass, the statistics that share it, and the retrieval heads they neutralise."""
