"""Catalogue items: validation, asset names, and the decisions about what an item means."""
