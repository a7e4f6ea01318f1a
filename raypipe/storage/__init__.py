"""Files, listings and conditional writes at a URI: the one seam to file systems."""
