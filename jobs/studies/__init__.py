"""What papers claim, as sweeps with bars: one file a study, named as its dossier; python -m jobs.study NAME."""
