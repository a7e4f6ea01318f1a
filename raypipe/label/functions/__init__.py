"""Labelling functions: what each says of a row, the votes of all of them, and what each is worth."""
