"""Numerics that two methods share, a file each."""
