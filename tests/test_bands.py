"""The schema of the cube: what each band setting reads, and that every band can be stored."""

from collections import Counter

import numpy as np
import pytest

from lsbatch.bands import BAND_SETTINGS, STACK, Layer, mask, probability, sensors

LAYERS = [STACK, probability("unet"), mask("cart")]
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
        ("elevation", -430.0, 8849.0),
        ("slope", 0.0, 90.0),
    ],
)
def test_every_value_that_nature_offers_fits(name: str, low: float, high: float) -> None:
    band = STACK[name]
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
