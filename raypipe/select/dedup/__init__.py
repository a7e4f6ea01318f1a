"""Copies of a text and what becomes of them."""
