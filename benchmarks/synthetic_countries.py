"""Synthetic countries of benchmarks: made once, read by later calls."""

from pathlib import Path
from typing import Any

from lsbatch import synthetic


def settings_file(folder: Path, seed: int, side_px: int, **how: Any) -> Path:
    """Return the settings file of a square country; the country is made if it is not there.

    Parameters
    ----------
    folder : Path
        Of this country alone.
    seed, side_px : int
    how
        Further arguments of `synthetic.simulate`. A country that is there is taken as it is.
    """
    path = folder / "config.yaml"
    # simulate writes the settings last
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        synthetic.simulate(folder, seed=seed, rows=side_px, cols=side_px, **how)
    return path
