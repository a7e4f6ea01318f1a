"""What is learnt: a task each."""
