"""Review: no access without the token, no lost answers, and use by mouse and keyboard."""

import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.cli import inventory_commands
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.inventory import identity, year_matching
from lsbatch.review import Case, site
from lsbatch.review.server import POLICY, Server
from lsbatch.settings import to_yaml
from lsbatch.storage import journal, vectors
from tests import browser, fake_survey, programs
from tests.fake_survey import Fake
from tests.review.page_server import ID, serving, until

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'


# The journal


def test_a_line_that_a_crash_cut_off_costs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    assert journal.read(path) == []
    for n in range(3):
        assert journal.append(path, {"n": n, "text": "Åsgård\u2028"})
    whole = path.read_bytes()
    last = len(whole.splitlines()[-1]) + 1
    for cut in range(1, last):
        path.write_bytes(whole[:-cut])
        # without its end of line alone, the record is whole
        assert [one["n"] for one in journal.read(path)] == ([0, 1, 2] if cut == 1 else [0, 1])
        journal.append(path, {"n": 9})
        assert [one["n"] for one in journal.read(path)][-1] == 9
        assert [one["n"] for one in journal.read(path)][:2] == [0, 1]


WRITER = """
import sys
from pathlib import Path
from lsbatch.storage import journal
for n in range(25):
    journal.append(Path(sys.argv[1]), {"who": int(sys.argv[2]), "n": n, "filling": "x" * 5000})
"""


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    crowd = [programs.start_code(WRITER, str(path), str(who)) for who in range(3)]
    assert [one.ended(120).returncode for one in crowd] == [0, 0, 0]
    found = journal.read(path)
    assert len(path.read_bytes().splitlines()) == len(found) == 75
    for who in range(3):
        assert [one["n"] for one in found if one["who"] == who] == list(range(25))


def test_only_one_of_two_who_saw_the_same_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert journal.append(path, {"n": 1}, lambda records: len(records) == 0)
    assert not journal.append(path, {"n": 2}, lambda records: len(records) == 0)
    assert [one["n"] for one in journal.read(path)] == [1]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine", encoding="utf-8")
    (tmp_path / "answers.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        journal.append(tmp_path / "answers.jsonl", {"n": 1})
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "mine"


# The server


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Some landslides; the second has hostile texts."""
    made = fake_survey.make(tmp_path_factory.mktemp("review"), Fake(landslides=8, truth=False))
    file = made.workspace.inventory / "landslides.parquet"
    frame = gpd.read_parquet(file)
    frame["review_state"] = "unreviewed"
    frame.loc[1, ["status", "parent_ids", "comment"]] = HOSTILE
    vectors.write_parquet(file, frame)
    return made


@pytest.fixture
def server(survey: Survey) -> Iterator[Server]:
    survey.workspace.answers.unlink(missing_ok=True)
    with serving(survey) as running:
        yield running


def ask(server: Server, path: str, body: Any = None, **headers: str | None) -> tuple[int, dict[str, str], bytes]:
    """Send a request like a browser, with changed headers; None removes a header."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    sent: dict[str, str | None] = {"Host": server.origins[0]}
    if body is not None:
        sent |= {"Origin": f"http://{server.origins[0]}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    connection.putrequest("GET" if body is None else "POST", path, skip_host=True)
    for name, value in sent.items():
        if value is not None:
            connection.putheader(name, value)
    if data is not None:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def answer(server: Server, row: int = 0, **changes: Any) -> dict[str, Any]:
    name = server.site.case.frame[ID].iat[row]
    return {ID: name, "state": "confirmed", "reviewer": "Kari", "comment": "", "count": 0} | changes


def test_it_listens_on_loopback_only(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "name",
    ["", "page.js", "map.js", "draw.js", "page.css", "maplibre-gl.js", "survey", "landslides", "records/0",
     "pictures/0", "series/0", "images/after/5/16/9", "outlines/0/12/2144/1189"],
)  # fmt: skip
def test_without_the_token_nothing_is_sent(server: Server, name: str) -> None:
    good = f"/{server.token}/{name}"
    status, headers, _ = ask(server, good)
    assert status == 200
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [one for one in headers if one.lower().startswith("access-control")]
    for path, host in (
        (f"/{name}", server.origins[0]),
        (f"/{server.token[:-1]}/{name}", server.origins[0]),
        (good, "evil.example"),
        (good, f"evil.example:{server.server_port}"),
        (good, None),
    ):
        status, _, body = ask(server, path, Host=host)
        assert status == 404, (path, host)
        assert json.loads(body) == {"error": "not found"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Content_Type": "text/plain"},
        {"Content_Type": None},
        {"Origin": "https://127.0.0.1"},
    ],
)
def test_another_page_cannot_answer(server: Server, headers: dict[str, str | None]) -> None:
    status, _, _ = ask(server, f"/{server.token}/answers", answer(server), **headers)
    assert status == 403
    assert journal.read(server.site.case.survey.workspace.answers) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"state": "maybe"}, "must be one of unreviewed, confirmed, rejected"),
        ({"reviewer": "  "}, "needs the reviewer's name"),
        ({"reviewer": "x" * 81}, "at most 80"),
        ({"comment": "a\x1b[2Jb"}, "one line of printable characters"),
        ({"comment": "a\u202eb"}, "printable"),
        ({"comment": "x" * 2001}, "at most 2000"),
        ({"comment": 3}, "must be a text"),
        ({ID: "no such"}, "no landslide with this id"),
        ({ID: ["x"]}, "no landslide with this id"),
        ({"state": []}, "must be one of"),
        ({"count": True}, "whole number"),
        ({"more": 1}, "exactly these fields"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_reason(server: Server, body: dict[str, Any], words: str) -> None:
    status, _, said = ask(server, f"/{server.token}/answers", answer(server, **body))
    assert status == 400
    assert words in json.loads(said)["error"]
    assert journal.read(server.site.case.survey.workspace.answers) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 20_000, b"3", b"\xff", b" " * 140_000])
def test_bytes_that_are_no_answer_are_refused(server: Server, body: bytes) -> None:
    assert ask(server, f"/{server.token}/answers", body)[0] == 400
    assert journal.read(server.site.case.survey.workspace.answers) == []


@pytest.mark.parametrize(
    "name",
    [
        "pictures/99999",
        "pictures/-1",
        "pictures/",
        "pictures/1x",
        "../page.js",
        "server.py",
        "answers.jsonl",
        "areas",
        "records/99999",
        "series/99999",
        "images/none/1/0/0",
        "images/probability/1/2/0",
        "images/probability/99/0/0",
        "images/../survey/1/0/0",
        "images/probability/1/-1/0",
        "outlines/0/3/8/0",
        "outlines/0/3/0",
    ],
)
def test_nothing_else_is_there(server: Server, name: str) -> None:
    assert ask(server, f"/{server.token}/{name}")[0] == 404


@pytest.mark.parametrize("line", ["GET /{token}/page.js", "GET /{token}/page.js HTTP/0.9", "GET /", "GET", "X"])
def test_a_request_without_a_version_is_answered_with_the_headers_of_the_others(server: Server, line: str) -> None:
    text = line.format(token=server.token) + f"\r\nHost: {server.origins[0]}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
        client.sendall(text.encode())
        received = client.makefile("rb").read()
    head, _, _ = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    if line.startswith("GET /"):
        assert f"Content-Security-Policy: {POLICY}".encode() in head


def test_two_reviewers_at_once(server: Server) -> None:
    """The second reviewer gets the first answer and may replace it; both answers are stored."""
    where = f"/{server.token}/answers"
    assert ask(server, where, answer(server))[0] == 200
    status, _, said = ask(server, where, answer(server, reviewer="Ola", state="rejected"))
    assert status == 409
    assert json.loads(said)["answer"]["reviewer"] == "Kari"
    status, _, said = ask(
        server, where, answer(server, reviewer="Ola", state="rejected", count=json.loads(said)["answer"]["count"])
    )
    assert status == 200
    kept = journal.read(server.site.case.survey.workspace.answers)
    assert [(one["reviewer"], one["state"]) for one in kept] == [("Kari", "confirmed"), ("Ola", "rejected")]
    # and the inventory has the last answer
    found = identity.answered(server.site.case.frame, kept, {})
    row = found.iloc[0]
    assert row[list(year_matching.REVIEW)].tolist() == ["rejected", "Ola", "", 1]
    assert (found["review_state"].iloc[1:] == server.site.case.frame["review_state"].iloc[1:]).all()


def test_an_answer_follows_a_new_name(server: Server) -> None:
    frame = server.site.case.frame.copy()
    before = frame[ID].iat[0]
    frame.loc[0, ID] = "norway-2019-7"
    said = [{ID: before, "state": "confirmed", "reviewer": "Kari", "comment": "c", "version": 1}]
    assert identity.answered(frame, said, {"norway-2019-7": [before]})["review_state"].iat[0] == "confirmed"
    said.append({ID: "norway-2019-7", "state": "rejected", "reviewer": "Kari", "comment": "c", "version": 1})
    assert identity.answered(frame, said, {"norway-2019-7": [before]})["review_state"].iat[0] == "rejected"


def test_without_an_inventory_there_is_nothing_to_review(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(landslides=2, truth=False))
    (survey.workspace.inventory / "landslides.parquet").unlink()
    with pytest.raises(NoDataError, match="has no inventory yet"):
        Case(survey)


def test_without_maplibre_the_line_of_pip_is_said(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`view` ends with it; the page of `review` shows it instead of the map."""
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(survey.config), encoding="utf-8")
    monkeypatch.setattr(site, "map_folder", lambda: None)
    with pytest.raises(ConfigError, match=r"pip install 'lsbatch\[view\]'"):
        inventory_commands.view(str(path))
    made = site.Site(Case(survey), is_review=True)
    found = made.get("survey")
    assert found is not None
    assert json.loads(found[0])["map"] == site.MISSING
    assert made.get("maplibre-gl.js") is None


def test_the_command_serves_and_ends(survey: Survey, tmp_path: Path) -> None:
    """Check the address, an answer, a kill that loses nothing, and Ctrl-C without a traceback."""
    survey.workspace.answers.unlink(missing_ok=True)
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(survey.config), encoding="utf-8")
    for command, number, code, more in (
        ("view", signal.SIGKILL, -9, ()),
        ("review", signal.SIGINT, 0, ("--next", "uncertain")),
    ):
        process = programs.start(command, str(path), *more)
        host, port, token = re.search(r"http://([\d.]+):(\d+)/(\S+)/", process.line()).groups()  # type: ignore[union-attr]
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        found = _json(connection, "GET", f"/{token}/landslides")
        asked = _json(connection, "GET", f"/{token}/survey")
        assert (asked["is_review"], asked["uncertain_first"]) == (command == "review", bool(more))
        assert ("uncertainty" in found["columns"]) == bool(more)
        count = found["answers"].get("0", {"count": 0})["count"]
        body = {ID: found["columns"]["id"][0], "state": "rejected", "reviewer": "Ola", "comment": "", "count": count}
        _json(connection, "POST", f"/{token}/answers", body, port)
        process.send(number)
        done = process.ended(60)
        assert done.returncode == code
        assert done.stderr == ""
    assert "Review ended" in done.stdout
    assert len(journal.read(survey.workspace.answers)) == 2


def _json(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, port: str = "") -> Any:
    headers = {"Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json"} if body else {}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return json.loads(answer.read())


# The page


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[browser.Page]:
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    with browser.Page(tmp_path) as opened:
        opened.open(server.address)
        until(opened, "document.querySelectorAll('#pictures img').length > 0")
        yield opened


def test_a_person_can_review(server: Server, page: browser.Page) -> None:
    """By mouse, then by keyboard; every text stays text; all requests go to the server of the page."""
    kept = server.site.case.survey.workspace.answers
    names = server.site.case.frame[ID].tolist()
    assert page.value("document.querySelectorAll('#list button').length") == len(names)
    assert page.value("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)")
    page.click("[data-state=confirmed]")
    until(page, "document.getElementById('message').textContent === 'Enter your name first.'")
    assert page.value("document.activeElement.id") == "reviewer"
    # letters in a field are letters
    for letter in "crj":
        page.key(letter)
    assert page.value("document.getElementById('reviewer').value") == "crj"
    assert journal.read(kept) == []
    page.value("document.getElementById('comment').value = 'a <b>comment</b>'")
    page.click("[data-state=confirmed]")
    until(page, "document.getElementById('message').textContent.startsWith('Saved')")
    page.click("#next")
    until(page, f"document.getElementById('name').textContent === {json.dumps(names[1])}")
    assert page.value("document.title").startswith("Review of ")
    assert HOSTILE in page.value("document.getElementById('facts').textContent")
    assert page.value("document.querySelectorAll('#facts script, #facts img').length") == 0
    page.value("document.getElementById('name').focus()")
    page.key("j")
    until(page, f"document.getElementById('name').textContent === {json.dumps(names[2])}")
    page.key("r")
    until(page, "document.getElementById('message').textContent.includes('rejected')")
    said = journal.read(kept)
    assert [(one[ID], one["state"], one["comment"]) for one in said] == [
        (names[0], "confirmed", "a <b>comment</b>"), (names[2], "rejected", ""),
    ]  # fmt: skip
    # another reviewer answers in the meantime
    journal.append(kept, said[1] | {"reviewer": "Ola", "state": "confirmed"})
    page.key("u")
    until(page, "document.getElementById('message').textContent.startsWith('Not saved: Ola answered in the meantime')")
    assert len(journal.read(kept)) == 3
    page.key("u")
    until(page, "document.getElementById('message').textContent.includes('Saved')")
    assert journal.read(kept)[-1]["state"] == "unreviewed"
    page.value(
        "document.getElementById('filter').value = 'confirmed'; document.getElementById('filter').dispatchEvent(new "
        "Event('input'))"
    )
    until(page, "document.querySelectorAll('#list button').length === 2")
    # MapLibre makes its workers from a blob
    assert all(one.startswith((server.address, "data:image/", "data:,", "blob:http://127.")) for one in page.requests)
    # the browser reports every response with an error status
    assert [one for one in page.errors if "409" not in one] == []


def test_five_thousand_can_be_gone_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many landslides as a country has: each answer is saved and confirmed, and the list shows the open ones."""
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    survey = fake_survey.make(tmp_path, Fake(crowd=5000, truth=False))
    with serving(survey) as running, browser.Page(tmp_path) as page:
        names = running.site.case.frame[ID].tolist()
        opened = page.open(running.address)
        until(page, "document.querySelectorAll('#pictures img').length > 0")
        assert page.value("document.querySelectorAll('#list button').length") == 100
        assert page.value("document.getElementById('page-at').textContent") == "1 to 100 of 5000"
        page.value("document.getElementById('reviewer').value = 'Kari'")
        page.value(f"document.getElementById('search').value = {json.dumps(names[4989][-10:])}")
        page.value("document.getElementById('search').dispatchEvent(new Event('input'))")
        until(page, "document.querySelectorAll('#list button').length === 1")
        page.value("document.getElementById('search').focus()")
        page.key("Enter")
        until(page, f"document.getElementById('name').textContent === {json.dumps(names[4989])}")
        page.value("document.getElementById('clear').click(); document.getElementById('name').focus()")
        began = time.monotonic()
        for n in range(1, 11):
            page.key("c")
            kept = f"Saved: {names[4988 + n]} confirmed."
            until(page, f"document.getElementById('message').textContent === {json.dumps(kept)}")
            if n < 10:
                page.key("j")
                until(page, f"document.getElementById('name').textContent === {json.dumps(names[4989 + n])}")
        seconds = (time.monotonic() - began) / 10
        assert page.errors == []
    with capsys.disabled():
        print(f"\n5,000 to review: ready after {opened:.2f} s, {seconds:.2f} s from answer to answer")
    assert [one[ID] for one in journal.read(survey.workspace.answers)] == names[4989:4999]


def test_the_page_is_accessible(page: browser.Page) -> None:
    """Every field has a label, every button a text, text stands out (WCAG 2.2 AA), and it fits a telephone."""
    assert page.value("[...document.querySelectorAll('input, select')].every(e => e.labels.length === 1)")
    assert page.value("[...document.querySelectorAll('button')].every(e => e.textContent.trim() || e.ariaLabel)")
    assert page.value("document.documentElement.lang") == "en"
    assert page.value("document.getElementById('message').getAttribute('role')") == "status"
    contrast = """(() => {
      const light = c => { const [r, g, b] = c.match(/\\d+/g).map(v => v / 255).map(v => v <= .04045 ? v / 12.92
        : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
      const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
      return Math.min(...[...document.querySelectorAll(`h1, h2, p, dt, dd, label, button span,
        button, figcaption`)].filter(e => e.textContent.trim()).map(e => {
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
          return (a + .05) / (b + .05); }));
    })()"""
    assert page.value(contrast) >= 4.5
    page.resize(380, 800)
    assert page.value("document.documentElement.scrollWidth <= 380")
