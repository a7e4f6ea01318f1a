"""Ranks of rows inside their domains, and the orders and control arms made of them."""
