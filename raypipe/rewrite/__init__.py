"""Rewrites: what makes any number of rows of a row."""
