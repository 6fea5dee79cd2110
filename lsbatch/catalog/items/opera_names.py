"""What the id of an OPERA RTC-S1 product tells. Its items at CMR have only a time, a footprint and files.

The id names the burst: relative orbit, number and swath, as in ``T063-133417-IW3``. Bursts are numbered along the
orbits of a cycle from the ascending node of orbit 1 (Sentinel-1 Level 1 Detailed Algorithm Definition, section 9.25),
so the number tells the direction of flight.
"""

import re
from typing import Any

#: Seconds from burst to burst, of one orbit, and from the ascending node to the first burst.
BURST_S, ORBIT_S, FIRST_S = 2.758273, 12 * 86_400 / 175, 2.299849

_NAME = re.compile(r"OPERA_L2_RTC-S1_T(\d{3})-(\d{6})-IW\d_\d{8}T\d{6}Z_\d{8}T\d{6}Z_(S1[A-D])_")


def properties(name: str) -> dict[str, Any]:
    """Return platform, relative orbit and orbit state as fields of STAC; none for another product's id."""
    found = _NAME.match(name)
    if not found:
        return {}
    orbit = int(found[1])
    told = {"platform": found[3], "sat:relative_orbit": orbit}
    state = _orbit_state(orbit, int(found[2]))
    return told | ({"sat:orbit_state": state} if state else {})


def _orbit_state(orbit: int, burst: int) -> str | None:
    """Return the direction of flight at the middle of a burst; None if it is not on this orbit."""
    share = ((burst - 0.5) * BURST_S + FIRST_S) / ORBIT_S - (orbit - 1)
    if not 0 <= share <= 1:
        return None
    return "descending" if 0.25 <= share < 0.75 else "ascending"
