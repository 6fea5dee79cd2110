"""Catalogues: STAC search, checks of items, what an item means, and the plan of a survey."""
