"""Training: what is seen and in which order, the tasks, the engines, and the loop that knows neither."""
