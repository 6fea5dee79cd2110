"""Learn from chips, answer probabilities."""
