"""Stratified random sampling of pixels: allocation and selection.

Pixels are ranked by a hash of the seed and of their position on the lattice, and the pixels with the lowest ranks of a
stratum are the sample. A hash behaves like random numbers, so this is simple random sampling without replacement. It
needs no list of the pixels, works tile by tile, and gives the same points for all tilings and orders.
"""

import numpy as np

#: Multipliers and increment of splitmix64: Steele, Lea and Flood (2014), doi:10.1145/2660193.2660195.
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)


def size_for(weights: np.ndarray, users: np.ndarray, error: float) -> int:
    """Return the sample size for a standard error of overall accuracy; Cochran (1977), equation 5.25.

    Parameters
    ----------
    weights : array (h,)
        Shares of the area.
    users : array (h,)
        Expected user's accuracy of each stratum.
    error : float

    Returns
    -------
    int
    """
    users = np.asarray(users, np.float64)
    return int(np.ceil((np.sum(np.asarray(weights) * np.sqrt(users * (1 - users))) / error) ** 2))


def allocate(size: int, sizes: np.ndarray, deviations: np.ndarray | None = None, least: int = 0) -> np.ndarray:
    """Return the points of each stratum; they add up to `size` if the strata have enough pixels.

    Parameters
    ----------
    size : int
    sizes : int array (h,)
        Pixels of each stratum; none gets more points than it has pixels.
    deviations : array (h,) or None
        Expected standard deviation inside each stratum, for Neyman's allocation: points proportional to pixels times
        deviation, which minimises the variance of the mean (Cochran 1977, eq. 5.26). None gives the same number of
        points to each stratum.
    least : int
        Minimum number of points of each stratum, limited by its pixels.

    Returns
    -------
    int array (h,)
    """
    sizes = np.asarray(sizes, np.int64)
    wanted = np.ones(len(sizes)) if deviations is None else sizes * np.asarray(deviations, np.float64)
    found = np.minimum(sizes, least)
    if found.sum() > size:
        raise ValueError(f"{size=} is less than {least=} for each stratum")
    if found.sum() == size or size >= sizes.sum():
        return np.minimum(sizes, size) if size >= sizes.sum() else found
    # a stratum with expected deviation 0 gets points last, only when the others are full
    wanted = np.maximum(wanted, 1e-12 * wanted.max()) if wanted.max() > 0 else np.ones(len(sizes))
    low, high = 0.0, float(size / wanted[sizes > 0].min() + 1)
    # the level to which strata are filled, between their minimum and their pixels
    for _ in range(200):
        level = (low + high) / 2
        if np.clip(level * wanted, found, sizes).sum() < size:
            low = level
        else:
            high = level
    return _rounded(np.clip(high * wanted, found, sizes), size)


def _rounded(share: np.ndarray, size: int) -> np.ndarray:
    """Return whole numbers that add up to `size`, by largest remainders; ties go to the first."""
    whole = np.floor(share + 1e-6).astype(np.int64)
    order = np.argsort(whole - share, kind="stable")
    whole[order[: size - int(whole.sum())]] += 1
    return whole


def ranks(rows: np.ndarray, cols: np.ndarray, seed: int) -> np.ndarray:
    """Return random numbers of pixels that depend only on the seed and the position.

    Parameters
    ----------
    rows, cols : int arrays of shapes that broadcast
        On a lattice that does not depend on tiles; negative numbers are allowed.
    seed : int
        0 or more.

    Returns
    -------
    uint64 array
    """
    with np.errstate(over="ignore"):
        start = _mixed(np.uint64(seed % 2**64) + _STEP)  # type: ignore[arg-type]
        by_row = _mixed(np.asarray(rows, np.int64).astype(np.uint64) + start)
        return _mixed((by_row ^ np.asarray(cols, np.int64).astype(np.uint64)) * _STEP + start)


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
    return bits ^ (bits >> np.uint64(31))


def spaced(places: np.ndarray, wanted: int, distance: float, taken: np.ndarray) -> np.ndarray:
    """Return the first places in order that keep a distance from each other and from those taken.

    Sequential inhibition: a position near others is less likely to be selected than an isolated one, so the inclusion
    probability is no longer exactly equal within a stratum.

    Parameters
    ----------
    places : array (n, 2)
        In random order.
    wanted : int
    distance : float
        In the unit of `places`; 0 selects the first ones.
    taken : array (m, 2)

    Returns
    -------
    int array (wanted or fewer,)
        Indices into `places`.
    """
    if distance <= 0:
        return np.arange(min(wanted, len(places)))
    kept = np.empty((len(taken) + wanted, 2))
    kept[: len(taken)] = taken
    chosen: list[int] = []
    for i, place in enumerate(np.asarray(places, np.float64)):
        if len(chosen) == wanted:
            break
        near = kept[: len(taken) + len(chosen)] - place
        if not (np.einsum("ij,ij->i", near, near) < distance**2).any():
            kept[len(taken) + len(chosen)] = place
            chosen.append(i)
    return np.array(chosen, np.int64)
