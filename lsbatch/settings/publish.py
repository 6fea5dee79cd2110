"""Settings of the page that a survey is published as."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lsbatch.settings.survey import Section

#: What a reader must know before using the map.
DISCLAIMER = (
    "Made automatically from satellite images. Landslides may be missing, and what is shown may be no landslide. "
    "Do not use it alone for decisions on safety."
)
#: Images that may be published, those of the cube first; `lsbatch.review.map_images` makes them.
Image = Literal[
    "after",
    "before",
    "radar-change",
    "radar-after",
    "radar-before",
    "relief",
    "probability",
    "mask",
    "date",
    "observed",
]
#: Characters of an identifier of SPDX, also with `+`.
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


class PublishSettings(Section):
    """What `lsbatch publish` says of the survey, and which images it writes."""

    title: str = Field("", max_length=200, description="title of the page; empty: the name and year of the survey")
    licence: str = Field(
        "",
        max_length=300,
        description="licence of the data: an identifier of SPDX such as CC-BY-4.0, or the http(s) address of its text; "
        "empty: the page says that none was chosen",
    )
    citation: str = Field(
        "", max_length=1000, description="how the survey is to be cited; empty: title, year and program"
    )
    contact: str = Field(
        "", max_length=300, description="whom to ask: an e-mail address, an http(s) address, or a text; empty: nobody"
    )
    disclaimer: str = Field(
        DISCLAIMER, max_length=2000, description="what a reader must know before using the map; shown above it"
    )
    images: tuple[Image, ...] = Field(
        ("after", "before", "probability", "mask", "observed"),
        description="images of the map, those that the survey has, the first is shown first: after, before, "
        "radar-change, radar-after, radar-before, relief, probability, mask, date, observed; each may take "
        "several times the space of the file of a national map",
    )

    @field_validator("title", "licence", "citation", "contact", "disclaimer")
    @classmethod
    def _is_one_line(cls, text: str) -> str:
        text = text.strip()
        if not text.isprintable():
            raise ValueError("must be one line of printable characters")
        return text

    @field_validator("licence")
    @classmethod
    def _is_licence(cls, text: str) -> str:
        if text and not _SPDX.fullmatch(text) and not is_address(text):
            raise ValueError("must be an identifier of SPDX such as CC-BY-4.0, or an http(s) address")
        return text

    @field_validator("images")
    @classmethod
    def _has_no_duplicates(cls, images: tuple[Image, ...]) -> tuple[Image, ...]:
        if len(set(images)) < len(images):
            raise ValueError("must not name an image twice")
        return images


def is_address(text: str) -> bool:
    """Return whether a text is an address of the web."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
