"""What it takes to score text with a causal language model fast: packing, attention, the decoder, the loss head."""
