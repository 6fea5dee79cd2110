"""Accuracy assessment of an inventory: draw a sample of points, read the reviewer's answers, estimate accuracy and area."""
