"""Against the programs of others, in an environment that has them: `make parity`."""
