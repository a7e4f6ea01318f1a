"""Retrieval heads: found, checked against random heads, kept in a file, tried on controls."""
