"""Settings of the survey: what, when, where, on which grid, from which archives."""

import calendar
import re
from datetime import date, timedelta
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, field_validator, model_validator
from pyproj import CRS
from pyproj.exceptions import CRSError
from upath import UPath

#: Launch of Sentinel-1A, the first of both families.
FIRST_SENTINEL = date(2014, 4, 3)
#: How an address in object storage begins.
OBJECTS = "s3://"
DAY_OF_YEAR = r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"


def _place(value: Any) -> Any:
    """Return a path on disk, or in object storage if it begins with ``s3://``, which `Path` would change."""
    if isinstance(value, str) and value.startswith(OBJECTS):
        if not value.removeprefix(OBJECTS).partition("/")[0]:
            raise ValueError("must name a bucket, as in s3://bucket/folder")
        return UPath(value.rstrip("/"))
    if isinstance(value, str) and "://" in value:
        raise ValueError(f"must be a path, or an address that begins with {OBJECTS}")
    if isinstance(value, str):
        return Path(value)
    if isinstance(value, (PurePath, UPath)):
        return value
    raise ValueError(f"must be a path, or an address that begins with {OBJECTS}")


#: A path on disk or in object storage; both have the methods of `Path`.
Place = Annotated[Path, PlainValidator(_place), PlainSerializer(str, when_used="json")]


class Section(BaseModel):
    """Base of every group of settings: frozen. Unknown keys and values that are not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Windows(Section):
    """First and last day, both included, of the images before and after."""

    pre: tuple[date, date]
    post: tuple[date, date]

    @property
    def year(self) -> int:
        """Return the year of the images after, by which a survey is called."""
        return self.post[1].year


class SurveySettings(Section):
    """Kind and dates of the survey."""

    id: str = Field(
        "survey",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="name of the survey; starts every landslide id",
    )
    kind: Literal["annual", "event"] = Field(
        "annual",
        description="annual: compare a season with the season of the year before; event: compare days before and "
        "after a date",
    )
    year: int | None = Field(None, ge=2015, le=2100, description="annual: the survey year (images after)")
    season: tuple[str, str] = Field(
        ("06-15", "09-15"),
        description="annual: first and last day of the season, MM-DD; a season across the new year belongs to the year "
        "in which it ends",
    )
    event_date: date | None = Field(
        None,
        ge=FIRST_SENTINEL,
        le=date(2100, 12, 31),
        description="event: date (or first day) of the storm or earthquake",
    )
    window_days: int = Field(30, ge=1, le=366, description="event: days before and after the date")
    newest_passes: int | None = Field(
        None,
        ge=1,
        le=100,
        description="number of Sentinel-1 passes per relative orbit, nearest to the event on each side, that are used; "
        "empty: all",
    )

    @field_validator("season")
    @classmethod
    def _is_season(cls, season: tuple[str, str]) -> tuple[str, str]:
        for day in season:
            try:
                # the pattern too: fromisoformat also takes weeks, as 2001-W10-1
                if not re.fullmatch(DAY_OF_YEAR, day):
                    raise ValueError
                date.fromisoformat(f"2004-{day}")
            except ValueError:
                raise ValueError("must be two days of the year as MM-DD, for example ['06-15', '09-15']") from None
        if season[0] == season[1]:
            raise ValueError("must end on another day than it begins")
        return season

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if self.kind == "annual" and self.year is None:
            raise ValueError("an annual survey needs year")
        if self.kind == "event" and self.event_date is None:
            raise ValueError("an event survey needs event_date")
        return self

    @property
    def windows(self) -> Windows:
        """Return the date windows before and after, from the year and season or from the event."""
        if self.kind == "annual" and self.year is not None:
            return Windows(pre=_season(self.season, self.year - 1), post=_season(self.season, self.year))
        day, span = self.event_date, timedelta(days=self.window_days)
        one = timedelta(days=1)
        # the day of the event is in neither window: a scene of that day may be from before or after the event
        return Windows(pre=(day - span, day - one), post=(day + one, day + span))  # type: ignore[operator]


def _season(days: tuple[str, str], year: int) -> tuple[date, date]:
    """Return the first and last day of the season that ends in a year."""
    first, last = days
    return _day(first, year - 1 if first > last else year, "03-01"), _day(last, year, "02-28")


def _day(day: str, year: int, instead: str) -> date:
    """Return a day of a year; `instead` of 29 February in a year without it."""
    leaps = day != "02-29" or calendar.isleap(year)
    return date.fromisoformat(f"{year}-{day if leaps else instead}")


class RegionSettings(Section):
    """The surveyed region: exactly one of bounds and file."""

    bounds: tuple[float, float, float, float] | None = Field(None, description="left, bottom, right, top in grid.crs")
    file: Place | None = Field(
        None, description="vector file whose polygons are the region (any format and CRS that GDAL reads)"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.bounds is None) == (self.file is None):
            raise ValueError("needs exactly one of bounds and file")
        if self.bounds and not (self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]):
            raise ValueError("bounds must be left, bottom, right, top with left < right and bottom < top")
        return self


class GridSettings(Section):
    """The national pixel lattice."""

    crs: str = Field("EPSG:25833", description="projected CRS in metres")
    resolution_m: float = Field(10.0, ge=0.1, le=1000, description="side of a pixel")
    tile_px: int = Field(
        2048,
        ge=128,
        le=8192,
        description="side of a tile: the unit of work, of storage (one shard) and of failure; a multiple of 128",
    )

    @field_validator("crs")
    @classmethod
    def _is_metric(cls, crs: str) -> str:
        try:
            parsed = CRS.from_user_input(crs)
        except CRSError:
            raise ValueError("is not a known CRS; give one such as EPSG:25833") from None
        unit = parsed.axis_info[0].unit_name if parsed.axis_info else "unknown unit"
        if not parsed.is_projected or unit != "metre":
            raise ValueError(
                f"is {parsed.name!r} ({unit}); a projected CRS in metres is needed, for example EPSG:25833"
            )
        return crs

    @field_validator("tile_px")
    @classmethod
    def _is_multiple(cls, tile_px: int) -> int:
        if tile_px % 128:
            raise ValueError(
                "must be a multiple of 128, so that chunks, chips (stride 64) and the network's lattice fit whole tiles"
            )
        return tile_px


class SourceSettings(Section):
    """An archive: its STAC catalogue and the collections of a sensor."""

    preset: Literal["earth-search", "planetary-computer", "cdse", "opera-rtc", "local", "stac"] = Field(
        description="earth-search (Sentinel-2, DEM), planetary-computer (all three; signed when read), cdse "
        "(Sentinel-2, DEM; needs keys), opera-rtc (Sentinel-1; needs a token), local (a folder with catalog.json), "
        "stac (any STAC API or static catalogue); keys and tokens: docs/archives.md"
    )
    url: str | None = Field(
        None,
        description="catalogue: root of an API, or path or http(s) address of a catalog.json; empty: that of "
        "the preset",
    )
    collections: tuple[str, ...] = Field((), description="collection ids; empty: those of the preset")

    @model_validator(mode="after")
    def _has_url(self) -> Self:
        if self.preset in ("local", "stac") and not (self.url and self.collections):
            raise ValueError(f"preset {self.preset} needs url and collections")
        return self


class ArchiveSettings(Section):
    """The three sources. A source that the band setting does not use may be left out."""

    sentinel2: SourceSettings | None = Field(None, description="Sentinel-2 L2A")
    sentinel1: SourceSettings | None = Field(
        None,
        description="Sentinel-1 in linear power: terrain-corrected gamma0 (RTC), or geocoded sigma0 with its "
        "incidence angle",
    )
    dem: SourceSettings | None = Field(None, description="elevation")
    dem_file: Place | None = Field(
        None,
        description="raster of elevation in metres (GeoTIFF or VRT), such as the national DEM; archives.dem "
        "is used where it has no data",
    )
    max_cloud_percent: float = Field(80.0, ge=0, le=100, description="Sentinel-2 scenes with more clouds are not read")
    attempts: int = Field(
        4,
        ge=1,
        le=20,
        description="attempts for a read or search with a transient failure; the wait starts at 0.5 s, for a search at "
        "5 s, and doubles",
    )

    @property
    def sensors(self) -> frozenset[str]:
        """Return the sensors with a source."""
        given = {name for name in ("sentinel2", "sentinel1", "dem") if getattr(self, name) is not None}
        return frozenset(given | ({"dem"} if self.dem_file is not None else set()))
