"""Statistics of maps and samples: scores, accuracy, areas, sample design, size distributions."""
