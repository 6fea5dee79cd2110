"""Accuracy assessment of an inventory.

Draw a sample of points, read the reviewer's answers, estimate accuracy and area.
"""
