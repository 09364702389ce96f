"""Training: recipes (data), the loop, and saliency-guided training."""
