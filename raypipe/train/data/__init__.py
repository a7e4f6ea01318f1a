"""What training reads: index, order and loader of documents, from tokens, examples or binary rows."""
