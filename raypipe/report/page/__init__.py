"""The page: one HTML file that fetches nothing."""
