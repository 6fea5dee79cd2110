"""Annual surveys in a row: what happened to landslides from year to year, and on which ground."""
