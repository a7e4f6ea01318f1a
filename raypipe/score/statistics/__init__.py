"""Scorers: a file each, statistics of one shared forward pass."""
