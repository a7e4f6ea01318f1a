"""The seam around DeepSpeed and plain torch: gradients, optimisers and their state."""
