"""What estimators are fitted on: columns of a run, gathered into a matrix in memory."""
