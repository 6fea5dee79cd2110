"""Everything that touches network or disk."""
