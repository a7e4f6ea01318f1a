"""Settings as dataclasses in dataclasses: each is declared once, where it is used, and has one name everywhere."""
