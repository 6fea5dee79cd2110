"""The schema of the cube: what each band setting reads, and that every band can be stored."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from lsbatch.bands import (
    BAND_SETTINGS,
    FULL_STACK,
    FURTHER,
    INDEX_TERMS,
    MODEL_INPUTS,
    STACK,
    Layer,
    further_bands,
    knows_look_direction,
    mask,
    mirrored,
    probability,
    sensors,
    stack_layer,
)
from lsbatch.settings.method import FurtherBand

LAYERS = [STACK, FULL_STACK, probability("unet"), mask("cart")]
BANDS = [(layer, band) for layer in LAYERS for band in layer.bands]


@pytest.mark.parametrize(("layer", "band"), BANDS, ids=lambda value: value.name)
def test_band_can_be_stored_and_understood(layer: Layer, band: object) -> None:
    info = np.iinfo(band.dtype)
    assert info.min <= band.fill <= info.max
    assert band.units
    assert band.description
    assert band.scale is None or band.scale > 0
    assert layer[band.name] is band


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_names_are_unique(layer: Layer) -> None:
    assert max(Counter(layer.names).values()) == 1


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("preVV", -60.0, 40.0),
        ("diffVH", -90.0, 90.0),
        ("postNIR", -0.2, 2.0),
        ("dNDVI", -2.0, 2.0),
        ("preSWIR1", 0.0, 2.0),
        ("postNIRn", 0.0, 2.0),
        ("dNBR", -2.0, 2.0),
        ("dNDMI", -2.0, 2.0),
        ("dBSI", -2.0, 2.0),
        ("elevation", -430.0, 8849.0),
        ("slope", 0.0, 90.0),
    ],
)
def test_every_value_that_nature_offers_fits(name: str, low: float, high: float) -> None:
    band = FULL_STACK[name]
    info = np.iinfo(band.dtype)
    for value in (low, high):
        stored = round((value - band.offset) / band.scale)
        assert info.min < stored < info.max
        assert stored != band.fill
        assert stored * band.scale + band.offset == pytest.approx(value, abs=band.scale)


def test_probability_keeps_both_ends() -> None:
    band = probability("unet")["probability"]
    assert round(1 / band.scale) == 65534 != band.fill


def test_unknown_band_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"no band 'NDVI'; it has preVV, .*dNDVI"):
        STACK["NDVI"]


def test_settings_are_the_papers() -> None:
    assert {name: len(bands) for name, bands in BAND_SETTINGS.items()} == {
        "s1_s2_dem": 13, "s1vv_s2": 3, "s1vv": 2, "s2": 5, "s1vv_apart_s2": 5, "s2_rgb": 6, "s1vv_apart": 4,
        "s1_change": 4, "s1_change_s2": 5,
    }  # fmt: skip
    assert all(set(bands) <= set(STACK.names) for bands in BAND_SETTINGS.values())


@pytest.mark.parametrize(
    ("setting", "needed"),
    [
        ("s1_s2_dem", {"sentinel1", "sentinel2", "dem"}),
        ("s1vv_s2", {"sentinel1", "sentinel2"}),
        ("s1vv", {"sentinel1"}),
        ("s2", {"sentinel2"}),
        ("s1vv_apart_s2", {"sentinel1", "sentinel2"}),
        ("s1vv_apart", {"sentinel1"}),
    ],
)
def test_each_setting_asks_only_for_the_archives_it_needs(setting: str, needed: set[str]) -> None:
    assert sensors(BAND_SETTINGS[setting]) == needed


def test_stack_of_a_survey_that_does_not_ask_is_the_same() -> None:
    assert stack_layer(()) == STACK
    assert not any(further_bands(name) for name in STACK.names)


@pytest.mark.parametrize(
    ("further", "added"),
    [
        (("RE1",), ["preRE1", "postRE1"]),
        (("SWIR1",), ["preSWIR1", "postSWIR1", "dNDMI", "dBSI"]),
        (("SWIR2",), ["preSWIR2", "postSWIR2", "dNBR"]),
        (
            ("SWIR2", "NIRn", "SWIR1"),
            ["preSWIR2", "preNIRn", "preSWIR1", "postSWIR2", "postNIRn", "postSWIR1", "dNBR", "dNDMI", "dBSI"],
        ),
    ],
)
def test_further_bands_follow_the_others(further: tuple[str, ...], added: list[str]) -> None:
    assert stack_layer(further).names == (*STACK.names, *added)
    assert all(set(further_bands(name)) <= set(further) for name in added)


def test_the_setting_offers_exactly_the_further_bands() -> None:
    assert get_args(FurtherBand) == tuple(FURTHER)
    assert {term for terms in INDEX_TERMS.values() for term in terms} <= {"R", "G", "B", "NIR", *FURTHER}


def test_models_read_measured_values_only() -> None:
    assert set(FULL_STACK.names) - set(MODEL_INPUTS) == {
        name for name in STACK.names if name == "observed" or name.endswith(("_date", "_looks"))
    }
    assert all(set(bands) <= set(MODEL_INPUTS) for bands in BAND_SETTINGS.values())


@pytest.mark.parametrize(
    ("bands", "needed"),
    [
        (("dNBR",), {"sentinel2"}),
        (("preSWIR1", "postVV_asc"), {"sentinel2", "sentinel1"}),
        (("slope", "diffVH"), {"dem", "sentinel1"}),
        (MODEL_INPUTS, {"sentinel1", "sentinel2", "dem"}),
    ],
)
def test_archives_that_a_list_needs(bands: tuple[str, ...], needed: set[str]) -> None:
    assert sensors(bands) == needed


@pytest.mark.parametrize(
    ("bands", "order"),
    [
        (("dNBR", "postRE1"), (0, 1)),
        (("postVV_asc", "dNBR", "postVV_desc"), (2, 1, 0)),
        # what the other direction saw is not among the bands
        (("postVV_asc", "dNBR"), None),
        (("postVV_asc", "preVV_desc"), None),
    ],
)
def test_the_mirror_image_of_a_list(bands: tuple[str, ...], order: tuple[int, ...] | None) -> None:
    assert mirrored(bands) == order
    assert knows_look_direction(bands) == any("_asc" in name for name in bands)
