"""What a method is: an op over rows, a statistic of a forward pass, and what the runner asks of each."""
