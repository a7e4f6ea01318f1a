"""What evaluate_retrieval is made of: its settings, the rankings, and the figures."""
