"""The commands: each file is `python -m jobs.NAME`."""
