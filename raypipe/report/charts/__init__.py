"""Charts as static SVG in the look of the page."""
