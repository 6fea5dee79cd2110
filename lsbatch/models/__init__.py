"""Learn from chips, answer probabilities: the only home of torch, lightning and scikit-learn."""
