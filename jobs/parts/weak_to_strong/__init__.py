"""What the jobs of weak-to-strong learning are made of."""
