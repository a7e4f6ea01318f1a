"""The training loop with its schedule, checkpoints, meter and journal."""
