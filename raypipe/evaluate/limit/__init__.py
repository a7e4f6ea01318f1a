"""LIMIT: how many sets of documents a vector of d dimensions can return, by optimisation and by construction."""
