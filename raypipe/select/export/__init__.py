"""The chosen rows written out as a corpus of their own."""
