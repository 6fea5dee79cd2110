"""Inventory: landslide records, their fields, shapes, identities, dates, exports and evaluation."""
