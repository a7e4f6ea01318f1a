"""Texts to columns that no model is needed for: their statistics, their language, what in them is personal.

Each file is a part with the columns that it adds; the parts of one pass share the words and lines of its texts.
"""
