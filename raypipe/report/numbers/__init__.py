"""What a run folder says, read and added up: cards, columns, steps, checks, documents."""
