"""Change against the surroundings: what a neighbourhood shares, and the moments of Sentinel-1 passes."""
