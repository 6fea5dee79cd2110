"""Searching: a folder, the same folder over HTTP, a real STAC API; hostile and broken catalogues."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import shapely

from lsbatch.catalog import search, static_catalog
from lsbatch.errors import CatalogError
from lsbatch.settings import SourceSettings
from lsbatch.storage.addresses import shown, without_secrets
from tests import servers

PLACE = shapely.box(15.0, 61.3, 15.06, 61.35)
ELSEWHERE = shapely.box(8.0, 61.3, 8.1, 61.4)
SUMMERS = (date(2019, 6, 1), date(2020, 8, 31))


def source(url: str, *collections: str) -> SourceSettings:
    return SourceSettings(preset="stac", url=url, collections=collections)


def ids(found: search.Found) -> list[str]:
    return [scene.id for scene in found.scenes]


@pytest.fixture(params=["folder", "file", "http"])
def address(request: pytest.FixtureRequest, archive: Path, served: servers.Served) -> str:
    return {"folder": str(archive), "file": str(archive / "catalog.json"), "http": f"{served.url}/catalog.json"}[
        request.param
    ]


def test_static_catalogue(address: str) -> None:
    found = search.search(source(address, "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS)
    assert ids(found) == ["S2A_20190701_N0211", "S2B_20200703_N0500"]
    assert [scene.offset_dn for scene in found.scenes] == [0, -1000]
    assert not found.left_out
    found = search.search(source(address, "sentinel-1-rtc"), "sentinel1", PLACE, (date(2020, 7, 1), date(2020, 7, 1)))
    assert [(s.id, s.relative_orbit, s.platform, s.orbit_state) for s in found.scenes] == [
        ("S1A_20200701T170211_T044_asc", 44, "sentinel-1a", "ascending")
    ]
    assert search.search(source(address, "dem"), "dem", PLACE, None).scenes
    for scene in found.scenes:
        for asset in scene.item["assets"].values():
            assert asset["href"].startswith("http") == address.startswith("http")


def test_static_catalogue_elsewhere_and_at_another_time(address: str) -> None:
    assert not search.search(source(address, "sentinel-2-l2a"), "sentinel2", ELSEWHERE, SUMMERS).scenes
    never = (date(2017, 1, 1), date(2017, 12, 31))
    assert not search.search(source(address, "sentinel-2-l2a"), "sentinel2", PLACE, never).scenes


def test_collections_that_are_not_there_are_named(address: str) -> None:
    with pytest.raises(CatalogError, match=r"has no collection landsat; it has dem, sentinel-1-rtc, sentinel-2-l2a"):
        search.search(source(address, "landsat"), "sentinel2", PLACE, SUMMERS)


def synthetic_item(number: int) -> dict[str, Any]:
    """An Earth Search item of July 2020; every third lies elsewhere, every fifth is cloudy."""
    left = 8.0 if number % 3 == 2 else 15.0
    keys = ("red", "green", "blue", "nir", "scl")
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "links": [],
        "id": f"S2A_{number:03d}", "collection": "sentinel-2-l2a", "bbox": [left, 61.0, left + 1, 62.0],
        "geometry": json.loads(shapely.to_geojson(shapely.box(left, 61.0, left + 1, 62.0))),
        "properties": {
            "datetime": f"2020-07-{1 + number % 31:02d}T10:50:31Z", "platform": "sentinel-2a",
            "s2:processing_baseline": "05.00", "eo:cloud_cover": 95 if number % 5 == 0 else 10,
        },
        "assets": {key: {"href": f"https://example.org/{number}/{key}.tif"} for key in keys},
    }  # fmt: skip


def test_stac_api_with_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [synthetic_item(n) for n in range(60)]
    monkeypatch.setattr(search, "PAGE", 7)
    days = (date(2020, 7, 3), date(2020, 7, 20))
    with servers.stac_api(items, tmp_path) as url:
        found = search.search(source(url, "sentinel-2-l2a"), "sentinel2", PLACE, days, max_cloud_percent=80)
        none = search.search(
            source(url, "sentinel-2-l2a"), "sentinel2", ELSEWHERE.buffer(5), (date(2021, 7, 1), date(2021, 8, 1))
        )
    wanted = [
        i
        for i in items
        if i["bbox"][0] == 15
        and i["properties"]["eo:cloud_cover"] < 80
        and "2020-07-03" <= i["properties"]["datetime"][:10] <= "2020-07-20"
    ]
    assert len(wanted) > 7
    assert ids(found) == [i["id"] for i in sorted(wanted, key=lambda i: (i["properties"]["datetime"], i["id"]))]
    assert not none.scenes


def test_an_item_that_cannot_be_used_is_named_and_left_out(tmp_path: Path) -> None:
    good, liar = synthetic_item(1), synthetic_item(3)
    liar["properties"]["s2:processing_baseline"] = None
    found = search.search(source(str(hand_made(tmp_path, good, liar)), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS)
    assert ids(found) == ["S2A_001"]
    assert len(found.left_out) == 1
    assert found.left_out[0].startswith("S2A_003: has no processing baseline")


def test_of_several_processings_the_newest_is_read(tmp_path: Path) -> None:
    items = []
    for number, (baseline, granule, made) in enumerate(
        [
            ("02.12", "T33VVH", "20200801T0"),
            ("05.00", "T33VVH", "20230801T0"),
            ("05.00", "T33VVH", "20230801T1"),
            ("02.12", "T33VWH", "20200801T0"),
        ]
    ):
        item = synthetic_item(1)
        item["id"] = f"S2A_{number}"
        item["properties"] |= {
            "s2:processing_baseline": baseline,
            "s2:product_uri": f"S2A_MSIL2A_20200702T105031_N{baseline.replace('.', '')}_R051_{granule}_{made}.SAFE",
        }
        items.append(item)
    found = search.search(source(str(hand_made(tmp_path, *items)), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS)
    assert ids(found) == ["S2A_1", "S2A_2", "S2A_3"]


def hand_made(folder: Path, *items: dict[str, Any], root: dict[str, Any] | None = None) -> Path:
    """A catalogue of items in one folder."""
    links = [{"rel": "item", "href": f"./{n}.json"} for n in range(len(items))]
    for n, item in enumerate(items):
        (folder / f"{n}.json").write_text(json.dumps(item), encoding="utf-8")
    document = {"type": "Catalog", "id": "hand-made", "stac_version": "1.0.0", "description": "", "links": links} | (
        root or {}
    )
    (folder / "catalog.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


HOSTILE_HERE = [
    "../secret.tif",
    "../../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "file://elsewhere/share/a.tif",
    "/vsizip//etc/a.zip",
    "/vsicurl/http://127.0.0.1/a.tif",
    "ftp://example.org/a.tif",
    "zip+file:///etc/a.zip",
    "a\x00.tif",
    "a\n.tif",
    "",
    "sub/../../secret.tif",
    "link/secret.tif",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("href", HOSTILE_HERE)
@pytest.mark.parametrize("place", ["asset", "link"])
def test_hostile_addresses_in_a_folder(tmp_path: Path, href: str, place: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.tif").write_text("{}", encoding="utf-8")
    (inside / "link").symlink_to(tmp_path)
    item = synthetic_item(1)
    if place == "asset":
        item["assets"]["red"]["href"] = href
        hand_made(inside, item)
    else:
        hand_made(inside, root={"links": [{"rel": "child", "href": href}]})
    with pytest.raises(CatalogError, match=r"allowed is a path inside the catalogue's folder|is not an address"):
        search.search(source(str(inside), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS)


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "/vsizip//etc/a.zip", "ftp://example.org/a.tif", "a\x00.tif", "data:,x"]
)
def test_hostile_addresses_on_the_network(tmp_path: Path, href: str) -> None:
    item = synthetic_item(1)
    item["assets"]["red"]["href"] = href
    hand_made(tmp_path, item)
    with (
        servers.serve(tmp_path) as served,
        pytest.raises(CatalogError, match=r"allowed is an address|is not an address"),
    ):
        search.search(source(f"{served.url}/catalog.json", "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS)


def test_addresses_that_are_allowed_in_a_folder(tmp_path: Path) -> None:
    item = synthetic_item(1)
    hrefs = [str(tmp_path / "a.tif"), "./b.tif", (tmp_path / "c d.tif").as_uri(), "s3://bucket/key.tif", "sub/../e.tif"]
    for key, href in zip(("red", "green", "blue", "nir", "scl"), hrefs, strict=True):
        item["assets"][key]["href"] = href
    (scene,) = search.search(
        source(str(hand_made(tmp_path, item)), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS
    ).scenes
    found = [scene.item["assets"][key]["href"] for key in ("red", "green", "blue", "nir", "scl")]
    assert found == [
        str(tmp_path / "a.tif"),
        str(tmp_path / "b.tif"),
        str(tmp_path / "c d.tif"),
        "s3://bucket/key.tif",
        str(tmp_path / "e.tif"),
    ]


def test_signatures_of_azure_are_not_kept(tmp_path: Path) -> None:
    item = synthetic_item(1)
    item["assets"]["red"]["href"] = "https://sentinel2l2a01.blob.core.windows.net/a/B04.tif?st=2020&sig=SECRET"
    (scene,) = search.search(
        source(str(hand_made(tmp_path, item)), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS
    ).scenes
    assert "SECRET" not in json.dumps(scene.to_dict())


def test_a_catalogue_in_circles_ends(tmp_path: Path) -> None:
    links = [{"rel": "child", "href": "./catalog.json"}, {"rel": "item", "href": "./0.json"}]
    hand_made(tmp_path, synthetic_item(1), root={"links": links})
    assert len(search.search(source(str(tmp_path), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS).scenes) == 1


def nothing_there(folder: Path) -> str:
    return str(folder / "nowhere")


def not_json(folder: Path) -> str:
    (folder / "catalog.json").write_text("<html>sorry</html>", encoding="utf-8")
    return str(folder)


def not_text(folder: Path) -> str:
    (folder / "catalog.json").write_bytes(b"\xff\xfe\x00")
    return str(folder)


def not_stac(folder: Path) -> str:
    (folder / "catalog.json").write_text('{"name": "package.json"}', encoding="utf-8")
    return str(folder)


def a_list(folder: Path) -> str:
    (folder / "catalog.json").write_text("[1]", encoding="utf-8")
    return str(folder)


def link_to_nothing(folder: Path) -> str:
    return str(hand_made(folder, root={"links": [{"rel": "child", "href": "./gone.json"}]}))


def nobody_listens(folder: Path) -> str:
    return f"http://user:password@127.0.0.1:{servers.free_port()}/stac?token=SECRET"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (nothing_there, "does not exist"),
        (not_json, "does not answer like a STAC catalogue"),
        (not_text, "does not answer like a STAC catalogue"),
        (not_stac, "not a STAC document"),
        (a_list, "not a STAC document"),
        (link_to_nothing, "does not exist"),
        (nobody_listens, "cannot be reached"),
    ],
)
def test_broken_catalogues(tmp_path: Path, make: Callable[[Path], str], sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence) as caught:
        search.search(source(make(tmp_path), "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS, attempts=2)
    text = str(caught.value)
    assert "\n" not in text
    assert "SECRET" not in text
    assert "password" not in text


def test_faults_that_pass_are_waited_for(served: servers.Served) -> None:
    served.faults["/catalog.json"] = [503, 429]
    served.faults["/stac/sentinel-2-l2a.json"] = [502]
    found = search.search(
        source(f"{served.url}/catalog.json", "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS, attempts=3
    )
    assert len(found.scenes) == 2
    assert served.asked["/catalog.json"] == 3
    assert served.asked["/stac/sentinel-2-l2a.json"] == 2


def test_faults_that_stay_are_told_after_the_last_try(served: servers.Served) -> None:
    served.faults["/catalog.json"] = [503] * 9
    with pytest.raises(CatalogError, match="cannot be reached or does not answer"):
        search.search(source(f"{served.url}/catalog.json", "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS, attempts=3)
    assert served.asked["/catalog.json"] == 3


def test_a_page_that_is_not_there_is_asked_for_once(served: servers.Served) -> None:
    with pytest.raises(CatalogError, match="cannot be reached or does not answer"):
        search.search(source(f"{served.url}/nothing.json", "sentinel-2-l2a"), "sentinel2", PLACE, SUMMERS, attempts=3)
    assert served.asked["/nothing.json"] == 1


def test_presets() -> None:
    assert search._where(SourceSettings(preset="planetary-computer"), "sentinel1")[1] == ("sentinel-1-rtc",)
    assert search._where(SourceSettings(preset="earth-search", collections=("x",)), "sentinel2")[1] == ("x",)
    with pytest.raises(CatalogError, match="use planetary-computer"):
        search._where(SourceSettings(preset="earth-search"), "sentinel1")


def test_a_long_coast_is_made_simple_and_stays_covered() -> None:
    coast = shapely.Point(10, 60).buffer(3, quad_segs=2000)
    simple = search._simple(coast)
    assert shapely.get_num_coordinates(simple) <= search.MAX_CORNERS
    assert simple.covers(coast)
    assert simple.area < 1.2 * coast.area


def test_messages_hold_no_secrets() -> None:
    text = without_secrets(
        "GET https://a:b@x.blob.core.windows.net/c/B04.tif?sig=SECRET failed, "
        "/vsicurl/https://h/k.tif?X-Amz-Signature=SECRET too"
    )
    assert "SECRET" not in text
    assert "a:b" not in text
    assert "x.blob.core.windows.net/c/B04.tif" in text


@pytest.mark.parametrize("slashes", ["", "/", "//", "///", "///./"])
def test_addresses_are_shown_without_password_also_with_slashes_too_few_or_many(slashes: str) -> None:
    found = shown(f"https:{slashes}user:SECRET@archive.example/v1?token=SECRET")
    assert "SECRET" not in found
    assert found.endswith("archive.example/v1")
    assert shown("/data/a@b/catalog.json") == "/data/a@b/catalog.json"


def test_a_copy_of_the_folder_elsewhere_still_reads(archive: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(archive, tmp_path / "moved")
    (scene, *_) = search.search(source(str(moved), "dem"), "dem", PLACE, None).scenes
    assert scene.item["assets"]["elevation"]["href"] == str(moved / "dem_10m.tif")
    assert static_catalog.MAX_DEPTH > 3


class _Endless(BaseHTTPRequestHandler):
    """A STAC API whose every page names itself as the next one."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        root = f"http://127.0.0.1:{self.server.server_port}"
        self._send(
            {
                "type": "Catalog",
                "id": "endless",
                "stac_version": "1.0.0",
                "description": "endless",
                "conformsTo": [
                    "https://api.stacspec.org/v1.0.0/core",
                    "https://api.stacspec.org/v1.0.0/collections",
                    "https://api.stacspec.org/v1.0.0/item-search",
                ],
                "links": [
                    {"rel": "search", "type": "application/geo+json", "href": f"{root}/search", "method": "POST"},
                    {"rel": "root", "href": root},
                    {"rel": "self", "href": root},
                ],
            }
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        link = {
            "rel": "next",
            "href": f"http://127.0.0.1:{self.server.server_port}/search",
            "method": "POST",
            "body": {},
        }
        self._send({"type": "FeatureCollection", "features": [synthetic_item(1)], "links": [link]})

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/geo+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_pages_that_never_end() -> None:
    with servers.answering(_Endless) as url, pytest.raises(CatalogError, match="its list of items does not end"):
        search.search(
            SourceSettings(preset="stac", url=url, collections=("sentinel-2-l2a",)), "sentinel2", PLACE, SUMMERS
        )
