"""The run folder without Ray: its cards, its lock, and how a process is told to stop."""
