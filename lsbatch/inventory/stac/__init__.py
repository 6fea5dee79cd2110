"""The survey as STAC items."""
