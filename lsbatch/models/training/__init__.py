"""Training of models: chips, losses, calibration, the trainer."""
