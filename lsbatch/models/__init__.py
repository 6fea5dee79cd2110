"""Model families: they learn from training chips and predict landslide probability."""
