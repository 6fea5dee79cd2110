"""Catalogues that lie, through the command line: each is refused, or its item is left out, in one sentence."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from lsbatch.catalog import http, search, static_catalog
from tests.security import hostile
from tests.security.conftest import Done
from tests.security.hostile import ESCAPES, SCRIPT, item
from tests.servers import answering

Cli = Callable[..., Done]

OUT = "allowed is a path inside the catalogue's folder"
NONE = "which is not an address"


def hrefs() -> Iterator[tuple[str, str]]:
    """An address in an item, and what is said of it."""
    for outside in (
        "../a.tif",
        "../../../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://server/share/a.tif",
        "sub/../../a.tif",
    ):
        yield outside, OUT
    yield "file:///%2e%2e/etc/passwd", OUT
    for system in (
        "/vsizip//etc/a.zip",
        "/vsicurl/http://127.0.0.1/a.tif",
        "zip+file:///etc/a.zip",
        "ftp://example.org/a.tif",
        "javascript:alert(1)",
    ):
        yield system, OUT
    for bad in ("", "http://[::1/a.tif", *(f"a{escape}.tif" for escape in ESCAPES)):
        yield bad, NONE


@pytest.mark.parametrize(("href", "said"), list(hrefs()), ids=ascii)
@pytest.mark.parametrize("place", ["asset", "link"])
def test_addresses(lsbatch: Cli, tmp_path: Path, href: str, said: str, place: str) -> None:
    good, bad = item(1), item(2)
    bad["assets"]["nir"]["href"] = href
    more = {"links": [{"rel": "child", "href": href}]} if place == "link" else {}
    url = hostile.catalogue(tmp_path / "archive", good, bad, **more)
    lsbatch("plan", str(hostile.settings(tmp_path, str(url)))).refused(said)
    assert not (tmp_path / "survey").exists()


def with_property(**fields: Any) -> dict[str, Any]:
    return item(3, properties=item(3)["properties"] | fields)


def with_asset(key: str, asset: Any) -> dict[str, Any]:
    return item(3, assets=item(3)["assets"] | {key: asset})


ITEMS = {
    **{
        f"id {name!a}": (item(3, id=name), "path separator or a control character")
        for name in ("../../x", "/etc/passwd", "a\\b", "..", "", "x" * 300)
    },
    **{
        f"id with {escape!a}": (item(3, id=f"S2A{escape}"), "path separator or a control character")
        for escape in ESCAPES
    },
    "id is a number": (item(3, id=5), "not a STAC item"),
    "id is missing": ({key: value for key, value in item(3).items() if key != "id"}, "not a STAC item"),
    **{
        f"platform with {escape!a}": (with_property(platform=f"S2A{escape}"), "has a control character")
        for escape in ESCAPES
    },
    **{
        f"asset with {escape!a}": (with_asset(f"x{escape}_red", {"href": "a.tif"}), "is not valid STAC")
        for escape in ESCAPES
    },
    "asset is text": (with_asset("red", "a.tif"), "asset 'red' is not valid STAC"),
    "assets is a list": (item(3, assets=[1]), "its assets is not valid STAC"),
    "properties is a list": (item(3, properties=[1]), "its properties is not valid STAC"),
    "orbit is text": (with_property(**{"sat:relative_orbit": "\x1b[2J"}), "sat:relative_orbit is not valid STAC"),
    "cloud is text": (with_property(**{"eo:cloud_cover": "none"}), "eo:cloud_cover is not valid STAC"),
    "bbox is text": (item(3, bbox="xxxx"), "bbox is not a list"),
    "geometry is text": (item(3, geometry="POINT (1 2)"), "geometry is not valid STAC"),
    "geometry of nothing": (item(3, geometry={"type": "Polygon", "coordinates": [[[1]]]}), "geometry cannot be read"),
    "geometry in a circle": (
        item(3, geometry={"type": "GeometryCollection", "geometries": 5}),
        "geometry cannot be read",
    ),
    "time that escapes": (with_property(datetime="2020-07-01\x1b[2J"), "is not a time"),
    "datetime without end": (with_property(datetime="2020-07-01" + "x" * 5000), "is not a time"),
    "datetime with a password": (
        with_property(datetime="2020-07-01 https://user:letmein@archive.example/v1?token=letmein"),
        "datetime = '2020-07-01 https://archive.example/v1' is not a time",
    ),
    "collection is an address with a password": (
        with_property(platform="https://user:letmein@archive.example/v1"),
        "over 255 characters or a password",
    ),
    "projection is unknown": (with_property(**{"proj:code": "EPSG:0"}), "proj:code or proj:epsg 'EPSG:0' is no CRS"),
    "one side": (with_property(**{"proj:shape": [5]}), "proj:shape is not two whole numbers above 0"),
    "a side below 0": (with_property(**{"proj:shape": [-1, 5]}), "proj:shape is not two whole numbers above 0"),
    "a transform of one number": (with_property(**{"proj:transform": [1]}), "proj:transform is not affine"),
    "a transform that is not affine": (with_property(**{"proj:transform": [1] * 9}), "proj:transform is not affine"),
    "projection is an object": (with_property(**{"proj:code": {"a": "b"}}), "proj:code is no short text"),
    "type of an asset is an object": (
        with_asset("red", {"href": "a.tif", "type": {"a": "b"}}),
        "type is no short text",
    ),
    **{
        f"geometry with {value}": (
            item(3, geometry={"type": "Polygon", "coordinates": [[[14, 61], [16, 61], [16, value], [14, 61]]]}),
            "has a coordinate that is not a finite number",
        )
        for value in (float("nan"), float("inf"))
    },
    "a coordinate that no float holds": (
        item(3, geometry={"type": "Polygon", "coordinates": [[[14, 61], [16, 61], [16, 10**400], [14, 61]]]}),
        "its geometry cannot be read",
    ),
    "bands is a number": (
        with_asset("red", {"href": "a.tif", "raster:bands": 5}),
        "is not valid STAC (TypeError",
    ),
    "offset is text": (
        with_asset("red", {"href": "a.tif", "raster:bands": [{"offset": "x"}]}),
        "is not valid STAC (ValueError",
    ),
}


@pytest.mark.parametrize(("bad", "said"), list(ITEMS.values()), ids=list(ITEMS))
def test_items(lsbatch: Cli, tmp_path: Path, bad: dict[str, Any], said: str) -> None:
    url = hostile.catalogue(tmp_path / "archive", item(1), item(2), bad)
    done = lsbatch("plan", str(hostile.settings(tmp_path, str(url))))
    assert done.code == 0, done
    done.safe()
    # once for each window where nothing tells its time
    (line,) = {line for line in done.out.splitlines() if "rejected:" in line}
    assert said in line
    assert len(line) < 800
    assert "letmein" not in done.out
    assert "pre_s2       1 scenes" in done.out
    assert all(
        text.isprintable()
        for file in (tmp_path / "survey").rglob("*.json")
        for text in texts(json.loads(file.read_text(encoding="utf-8")))
    )


def texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def depth(folder: Path) -> Path:
    hostile.catalogue(folder)
    (folder / "catalog.json").write_text("[" * 200_000, encoding="utf-8")
    return folder


def deep_link(folder: Path) -> Path:
    return hostile.catalogue(folder, links="x" * 10, type="Catalog", stac_version={"a": [[[[]]]]})


def sparse(folder: Path) -> Path:
    """10 GB, none of them on disk."""
    hostile.catalogue(folder, item(1))
    with (folder / "0.json").open("r+b") as file:
        file.truncate(10**10)
    return folder


def pipe(folder: Path) -> Path:
    """Would be waited for without end."""
    hostile.catalogue(folder, item(1))
    (folder / "0.json").unlink()
    os.mkfifo(folder / "0.json")
    return folder


def names(folder: Path) -> Path:
    return hostile.catalogue(
        folder, *(item(number, collection=f"{escape}{number}") for number, escape in enumerate(ESCAPES))
    )


def device(folder: Path) -> Path:
    hostile.catalogue(folder, item(1))
    (folder / "0.json").unlink()
    (folder / "0.json").symlink_to("/dev/zero")
    return folder


def many_names(folder: Path) -> Path:
    return hostile.catalogue(
        folder,
        *(item(number, collection="x" * 5000) | {"collection": f"{number}" + "x" * 5000} for number in range(100)),
    )


DOCUMENTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nested without end": (depth, "does not answer like a STAC catalogue"),
    "links is text": (deep_link, "has no collection"),
    "10 GB": (sparse, "is not a regular file of up to 100 MB"),
    "a pipe": (pipe, "is not a regular file of up to 100 MB"),
    "a device": (device, OUT),
    "names that escape": (names, "has no collection sentinel-2-l2a"),
    "long names": (many_names, "and 80 more"),
}


@pytest.mark.parametrize(("make", "said"), list(DOCUMENTS.values()), ids=list(DOCUMENTS))
@pytest.mark.timeout(60)
def test_documents(lsbatch: Cli, tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    lsbatch("plan", str(hostile.settings(tmp_path, str(make(tmp_path / "archive"))))).refused(said)


class _Liar(BaseHTTPRequestHandler):
    """Answers that do not end, or say so."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        kind = self.path.strip("/").partition("/")[0]
        self.send_response(302 if kind in ("file", "circle") else 200)
        getattr(self, f"_{kind}")()
        self.close_connection = True

    do_POST = do_GET

    def _headers(self, **fields: object) -> None:
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def _claim(self) -> None:
        self._headers(Content_Length=10**10)
        self.wfile.write(b'{"links": [')

    def _short(self) -> None:
        self._headers(Content_Length=1000)
        self.wfile.write(b'{"links": [')

    def _endless(self) -> None:
        self._headers(Transfer_Encoding="chunked")
        self._pour(b"10000\r\n" + b" " * 65536 + b"\r\n")

    def _packed(self) -> None:
        """1 MB on the way for each GB in memory."""
        self._headers(Content_Encoding="gzip")
        packer = zlib.compressobj(9, wbits=31)
        self._pour(*(packer.compress(b" " * 10**6) for _ in range(400)))

    def _pour(self, *pieces: bytes) -> None:
        try:
            for _ in range(3000 // len(pieces)):
                for piece in pieces:
                    self.wfile.write(piece)
        except ConnectionError:
            # hung up, as it should
            return

    def _file(self) -> None:
        self._headers(Location="file:///etc/passwd", Content_Length=0)

    def _circle(self) -> None:
        self._headers(Location="/circle/catalog.json", Content_Length=0)

    def _invented(self) -> None:
        """A catalogue whose children never end."""
        number = int(self.path.rpartition("/")[2].partition(".")[0] or 0) if "catalog" not in self.path else 0
        links = [{"rel": "child", "href": f"/invented/{2 * number + k}.json"} for k in (1, 2)]
        body = json.dumps({"type": "Catalog", "id": "x", "stac_version": "1.0.0", "links": links}).encode()
        self._headers(Content_Length=len(body))
        self.wfile.write(body)

    def _deep(self) -> None:
        body = gzip.compress(b'{"links":' + b"[" * 10**6)
        self._headers(Content_Length=len(body), Content_Encoding="gzip")
        self.wfile.write(body)


ANSWERS = {
    "claim": "its answer has 10,000 MB",
    "short": "cannot be reached or does not answer",
    "endless": "does not end, ",
    "packed": "does not end, ",
    "file": "cannot be reached or does not answer: No connection adapters were found for 'file:///etc/passwd'",
    "circle": "cannot be reached or does not answer: Exceeded 30 redirects",
    "invented": "links to more than 100 documents",
    "deep": "does not answer like a STAC catalogue",
}


@pytest.mark.parametrize(("kind", "said"), list(ANSWERS.items()), ids=list(ANSWERS))
@pytest.mark.timeout(60)
def test_answers(lsbatch: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str) -> None:
    monkeypatch.setattr(http, "LARGEST_BYTES", 10_000_000)
    monkeypatch.setattr(static_catalog, "MOST_DOCUMENTS", 100)
    with answering(_Liar) as url:
        lsbatch("plan", str(hostile.settings(tmp_path, f"{url}/{kind}/catalog.json"))).refused(said)


def test_an_answer_that_drips_without_end(monkeypatch: pytest.MonkeyPatch, lsbatch: Cli, tmp_path: Path) -> None:
    monkeypatch.setattr(http, "LONGEST_S", 0.0)
    with answering(_Liar) as url:
        lsbatch("plan", str(hostile.settings(tmp_path, f"{url}/endless/catalog.json"))).refused("does not end, ")


def test_items_without_end(monkeypatch: pytest.MonkeyPatch, lsbatch: Cli, tmp_path: Path) -> None:
    monkeypatch.setattr(search, "MOST_ITEMS", 2)
    url = hostile.catalogue(tmp_path / "archive", *(item(number) for number in (2, 4, 6)))
    lsbatch("plan", str(hostile.settings(tmp_path, str(url)))).refused("lists more than 2 items")


def test_what_opens_doors_is_not_in_the_plan(lsbatch: Cli, tmp_path: Path) -> None:
    keys = {
        "red": "https://user:hush@example.org/a.tif?v=2&X-Amz-Signature=hush&X-Amz-Credential=hush",
        "green": "https://x.blob.core.windows.net/a.tif?st=hush&sp=hush&sig=hush",
        "blue": "https://example.org/b.tif?access_token=hush&band=3&API-KEY=hush",
        "nir": "https://example.org/c.tif?Expires=hush&Key-Pair-Id=hush&Policy=hush&Signature=hush#hush",
        "scl": "https://example.org/d.tif?subscription-key=hush&s%69g=hush",
    }
    keyed = item(2, assets={key: {"href": href} for key, href in keys.items()})
    done = lsbatch(
        "plan", str(hostile.settings(tmp_path, str(hostile.catalogue(tmp_path / "archive", item(1), keyed))))
    )
    assert done.code == 0, done
    written = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "survey").rglob("*") if path.is_file())
    assert "hush" not in written + done.out + done.err
    assert "https://example.org/a.tif?v=2" in written
    assert "https://example.org/b.tif?band=3" in written


def test_html_stays_text(lsbatch: Cli, tmp_path: Path) -> None:
    # in the plan it is harmless; that the report and the survey's own catalogue spell it is shown in test_secrets.py
    url = hostile.catalogue(tmp_path / "archive", item(1), item(2, id=SCRIPT))
    assert lsbatch("plan", str(hostile.settings(tmp_path, str(url)))).code == 0
