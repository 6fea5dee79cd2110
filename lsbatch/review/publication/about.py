"""What a published page says of the survey: title, licence, citation, contact, method, dates and limits."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import geopandas as gpd

import lsbatch
from lsbatch.catalog.survey import Survey
from lsbatch.inventory import identity
from lsbatch.inventory.qgis.words import word
from lsbatch.inventory.stac.publication import address_of
from lsbatch.report.page import area
from lsbatch.review.publication.finished import Observed
from lsbatch.settings.publish import is_address

#: An e-mail address that can be a link.
_EMAIL = re.compile(r"[^@\s:/?&]+@[^@\s:/?&]+\.[^@\s:/?&]+")


@dataclass(frozen=True)
class Fact:
    """A line of the description; `link` is empty or an address of the web or of e-mail."""

    name: str
    text: str
    link: str = ""


def texts(survey: Survey) -> dict[str, str]:
    """Return title, description, licence, citation, contact and disclaimer, with their defaults."""
    given, windows = survey.config.publish, survey.config.survey.windows
    year, language = windows.year, survey.config.inventory.language
    title = given.title or word("title", language).format(survey.config.survey.id, year)
    dated = title if str(year) in title else f"{title} ({year})"
    return {
        "title": title,
        "description": f"{title}. {given.disclaimer}".strip(),
        "licence": given.licence,
        "citation": given.citation or f"{dated}. Made with lsbatch {lsbatch.__version__}.",
        "contact": given.contact,
        "disclaimer": given.disclaimer,
    }


def facts(survey: Survey, frame: gpd.GeoDataFrame, observed: Observed, told: Mapping[str, str]) -> list[Fact]:
    """Return the description of a survey, line by line."""
    config, windows = survey.config, survey.config.survey.windows
    found = identity.found(frame)
    years = sorted({day.year for pair in (windows.pre, windows.post) for day in pair})
    return [
        _licence(told["licence"]),
        Fact("Citation", told["citation"]),
        _contact(told["contact"]),
        Fact("Source of images", word("attribution", config.inventory.language).format(_span(years[0], years[-1]))),
        Fact("Images before", _span(*windows.pre)),
        Fact("Images after", _span(*windows.post)),
        Fact("Landslides", _count(found) + _kept(len(frame) - len(found))),
        Fact("Reviewed", _reviewed(frame)),
        Fact("Surveyed area", f"{observed.surveyed_km2:,.1f} km² of {observed.region_km2:,.1f} km²"),
        Fact("Not observed", _unobserved(observed)),
        Fact("Smallest landslide", f"{config.inventory.min_area_m2:,.0f} m²"),
        Fact("Method", _method(found, config.bands_text)),
        Fact("Program", f"lsbatch {lsbatch.__version__}"),
    ]  # fmt: skip


def _span(first: object, last: object) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _licence(licence: str) -> Fact:
    if not licence:
        return Fact("Licence", "none was chosen: ask the contact before you use or copy the data")
    return Fact("Licence", licence, address_of(licence))


def _contact(contact: str) -> Fact:
    if _EMAIL.fullmatch(contact):
        return Fact("Contact", contact, f"mailto:{contact}")
    return Fact("Contact", contact or "none was given", contact if is_address(contact) else "")


def _count(found: gpd.GeoDataFrame) -> str:
    return f"{len(found):,}, together {area(float(found['area_m2'].sum()))}"


def _kept(count: int) -> str:
    return f"; {count:,} more were kept from earlier years" if count else ""


def _reviewed(frame: gpd.GeoDataFrame) -> str:
    counts = Counter(frame["review_state"])
    return f"{counts['confirmed']:,} confirmed, {counts['rejected']:,} rejected, {counts['unreviewed']:,} not reviewed"


def _unobserved(observed: Observed) -> str:
    share = f"{100 * observed.unobserved_share:.1f} % of the region: clouds, radar shadow or no images; see the mask"
    failed = f"; {observed.failed} of {observed.tiles} tiles failed and were not surveyed" if observed.failed else ""
    return share + failed


def _method(found: gpd.GeoDataFrame, bands: str) -> str:
    """Return the model as the records name it: its file need not be on this machine."""
    models = [
        f"{name} (weights {weights[:12] or 'none'})"
        for name, weights in sorted(set(zip(found["model"], found["weights"], strict=True)))
    ]
    return f"{', '.join(models) or 'no landslide was found'}; inputs {bands}"
