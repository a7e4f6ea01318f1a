"""What several jobs share, and what one job is made of."""
