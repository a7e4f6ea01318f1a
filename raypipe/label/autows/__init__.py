"""Automated weak supervision: labelling functions learned from a hundred labelled rows, and affinity coding."""
