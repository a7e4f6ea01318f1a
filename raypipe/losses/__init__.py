"""Losses on tensors, for tasks that train and for heads on vectors."""
