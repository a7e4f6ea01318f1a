"""Scores to a selection: which rows of a corpus are seen in training, and how often.

Everything here reads score columns and writes a rank, a split and a weight a row; no text is read and no model runs
(`export` alone re-reads the source, to write the chosen text).
"""
