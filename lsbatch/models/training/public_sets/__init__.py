"""Public training sets: patches of the bands of STACK with their truth, read from downloaded files."""
