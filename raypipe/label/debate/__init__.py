"""Arguments about a question, from a causal language model."""
