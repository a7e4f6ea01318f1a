"""What evaluate_model asks a model, a file a kind of question."""
