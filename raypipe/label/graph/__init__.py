"""Classes from a knowledge graph: vectors of classes that have no labelled row, and what classifies with them."""
