"""Queries to documents: by words, by vectors, by both, and by a model that reads query and document together."""
