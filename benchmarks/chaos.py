"""Random kills and stops of workers, nannies, schedulers and drivers of surveys, with a comparison of the results.

    python -m benchmarks.chaos [--kills 200] [--stops 0] [--minutes 12] [--seed 20200630]

A stop is SIGSTOP, half of them for ever. The same as the slow tests in tests/chaos; ends with an error if a single
pixel, polygon or count differs, if a survey is not done within ten minutes, or if the time was over before there were
so many kills and stops.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import arena


def main() -> None:
    """Print one line a survey, and the toll."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--seed", type=int, default=20200630)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, arena.nursery(Path(folder) / "country") as home:
        began = time.monotonic()

        def print_toll(toll: arena.Toll) -> None:
            print(
                f"{time.monotonic() - began:6.0f} s  survey {toll.surveys}: the same; {toll.total} kills and "
                f"{toll.stops.total()} stops so far",
                flush=True,
            )

        toll = arena.siege(
            home,
            Path(folder) / "surveys",
            seed=arguments.seed,
            kills=arguments.kills,
            stops=arguments.stops,
            minutes=arguments.minutes,
            heard=print_toll,
        )
    print(f"seed {arguments.seed}: {toll}")
    sys.exit(toll.total < arguments.kills or toll.stops.total() < arguments.stops)


if __name__ == "__main__":
    main()
