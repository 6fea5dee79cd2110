"""Select Sentinel-1 passes of the same orbit and platform before and after, nearest to the event."""

from collections.abc import Sequence

from lsbatch.catalog.items.scenes import Scene

#: Scenes of a tile or of a region by their use (see `date_windows.KEYS`).
Scenes = dict[str, tuple[Scene, ...]]


def same_orbits(scenes: Scenes) -> tuple[Scenes, str]:
    """Return the Sentinel-1 scenes before and after of the same relative orbits and platforms.

    A different look direction or platform displaces the image and changes the backscatter of slopes, which looks like
    change. If no pair of orbit and platform is in both windows (a platform failed), the relative orbit alone must
    match. If none matches, no radar images are compared.
    """
    for rule, key in (
        ("same relative orbit and platform", lambda s: (s.relative_orbit, s.orbit_state, s.platform)),
        ("same relative orbit", lambda s: (s.relative_orbit, s.orbit_state)),
    ):
        shared = {key(s) for s in scenes["pre_s1"]} & {key(s) for s in scenes["post_s1"]}
        if shared:
            kept = {k: tuple(s for s in scenes[k] if key(s) in shared) for k in ("pre_s1", "post_s1")}
            unknown = any(s.relative_orbit is None for group in kept.values() for s in group)
            return {**scenes, **kept}, f"{rule}, some unknown" if unknown else rule
    if scenes["pre_s1"] or scenes["post_s1"]:
        return {**scenes, "pre_s1": (), "post_s1": ()}, "no relative orbit is in both windows"
    return scenes, "no Sentinel-1"


def newest(scenes: Scenes, passes: int) -> Scenes:
    """Return the last passes before and the first after, for each relative orbit."""

    def keep(group: Sequence[Scene], latest: bool) -> tuple[Scene, ...]:
        days: dict[int | None, set[str]] = {}
        for scene in group:
            days.setdefault(scene.relative_orbit, set()).add(scene.day)
        wanted = {orbit: set(sorted(found, reverse=latest)[:passes]) for orbit, found in days.items()}
        return tuple(s for s in group if s.day in wanted[s.relative_orbit])

    return {**scenes, "pre_s1": keep(scenes["pre_s1"], True), "post_s1": keep(scenes["post_s1"], False)}
