"""Check a machine and the folder of a survey before a run, and say what to do.

Each check is a row: what was looked at, what was found, a verdict and an advice. A check never changes anything: what
it tries out on a disk is removed again.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lsbatch.catalog import http
from lsbatch.catalog.search import PRESETS
from lsbatch.commands.doctor import folder, machine
from lsbatch.commands.doctor.check import COLUMNS, FAIL, WARN, Check
from lsbatch.errors import LsbatchError
from lsbatch.models import base
from lsbatch.settings import Config
from lsbatch.storage.addresses import shown

__all__ = ["COLUMNS", "FAIL", "Check", "examine"]

#: Seconds to wait for an archive. A person waits, and a machine without network is no fault.
ANSWER_S = 5.0


def examine(config: Config | None) -> list[Check]:
    """Run all checks; without settings, of the current folder and the known archives."""
    place = Path.cwd() if config is None else config.output
    found = [*machine.checks(config), *folder.checks(place, config), *_archives(config)]
    return found if config is None else [*found, _weights(config)]


def _archives(config: Config | None) -> list[Check]:
    """Ask each archive once. A machine without network is warned, because files on disk need none."""
    if config is None:
        places = {preset.url: name for name, preset in PRESETS.items()}
    else:
        sources = (getattr(config.archives, name) for name in ("sentinel2", "sentinel1", "dem"))
        places = {source.url or PRESETS[source.preset].url: source.preset for source in sources if source is not None}
    with ThreadPoolExecutor(max(1, len(places))) as pool:
        return list(pool.map(_archive, places.values(), places))


def _archive(name: str, address: str) -> Check:
    fault = http.refusal(address, ANSWER_S)
    if fault is None:
        return Check(f"archive {name}", f"{shown(address)}: answers")
    advice = "check the network, HTTPS_PROXY and archives" if "://" in address else "correct archives"
    return Check(f"archive {name}", f"{shown(address)}: {fault}", WARN, advice)


def _weights(config: Config) -> Check:
    try:
        path = base.resolve(config)
        base.check(base.card(path), config)
    except LsbatchError as error:
        # a survey to be trained has none yet
        own = config.model.weights is None
        return Check("weights", str(error), WARN if own else FAIL, "" if own else "correct model.weights")
    return Check("weights", f"{path.name} fit the settings")
