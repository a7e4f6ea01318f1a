"""Programs of others, run as they are: scripts that import nothing of raypipe, for an environment of their own."""
