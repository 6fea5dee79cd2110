"""Object storage behind bad networks: the same objects in the end, or one sentence that says what to do."""

import gc
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsbatch import settings as survey_settings
from lsbatch.catalog.survey import Survey
from lsbatch.commands import run
from lsbatch.commands.doctor import folder as doctor_folder
from lsbatch.commands.doctor.check import FAIL
from lsbatch.errors import LsbatchError
from lsbatch.storage import files, journal, lease, objects
from lsbatch.storage.s3 import error_sentences, stores
from tests import http_proxy, programs, servers
from tests.servers import S3_SECRET, Bucket, Trouble
from tests.storage.buckets import in_bucket, lsbatch, on_disk, refusing, settings
from tests.surveys import BenchScreen

#: Requests of a survey after which its storage goes away for good.
MOMENTS = (3, 40, 120, 250, 400)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with servers.s3() as found:
        yield found


def use(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process use a bucket."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)


REFUSALS = {
    "clock": (403, "RequestTimeTooSkewed", "The difference is too large.", "", "set the clock of this machine"),
    "region": (400, "AuthorizationHeaderMalformed", "'us-east-1' is wrong", "eu-north-1", "set AWS_REGION=eu-north-1"),
    "redirect": (301, "PermanentRedirect", "Use another endpoint.", "", "set AWS_REGION to the region of the bucket"),
    "rate": (503, "SlowDown", "Please reduce your request rate.", "", "lower cluster.workers, or wait"),
    "rights": (403, "AccessDenied", "Access Denied", "", "give these credentials the rights"),
    "key": (403, "InvalidAccessKeyId", "It does not exist.", "", "correct AWS_ACCESS_KEY_ID"),
    "secret": (403, "SignatureDoesNotMatch", "It does not match.", "", "correct AWS_SECRET_ACCESS_KEY"),
    "token": (400, "ExpiredToken", "The token has expired.", "", "get new credentials"),
    "bucket": (404, "NoSuchBucket", "It does not exist.", "", "correct the name of the bucket"),
    "unknown": (400, "SomethingNew", "Words.", "", "check the bucket, AWS_ENDPOINT_URL and the credentials"),
}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """The only line of a command that could not begin."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert S3_SECRET not in done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_says_what_to_do(planned_survey: Survey, bucket: Bucket, tmp_path: Path, kind: str) -> None:
    status, code, message, region, advice = REFUSALS[kind]
    path = settings(planned_survey, tmp_path, "s3://surveys/s", kind="serial")
    with servers.answering(refusing(status, code, message, region)) as url:
        there = Bucket(bucket.name, bucket.environment | {"AWS_ENDPOINT_URL": url})
        said = refused(lsbatch(there, "run", str(path)))
        state = refused(lsbatch(there, "status", str(path)))
    assert said.startswith(f"lsbatch: s3://surveys/s: cannot be written to: {code}")
    assert advice in said
    # to the question whether an object exists, both a bucket and an object that are missing are answered by 404
    if kind != "bucket":
        assert state.startswith("lsbatch: s3://surveys/s/")
        assert advice in state


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_doctor_says_what_to_do(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    status, code, message, region, advice = REFUSALS[kind]
    with servers.answering(refusing(status, code, message, region)) as url:
        use(bucket, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        (check,) = doctor_folder.checks(objects.path_of("s3://surveys/s"), None)
    assert check.verdict == FAIL
    assert check.found.startswith(f"s3://surveys/s: {code}")
    assert check.advice.startswith(advice)


@contextmanager
def speaking(speak: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server that does something with each connection; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def says(text: bytes) -> Callable[[socket.socket], object]:
    """Answer with these bytes, whatever is asked."""

    def speak(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(text)

    return speak


def is_silent(connection: socket.socket) -> None:
    """Listen until the client goes away."""
    with connection:
        while connection.recv(65536):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody has signed, and its key."""
    return http_proxy.certificate(tmp_path_factory.mktemp("tls"), "localhost")


def shakes_hands(certificate: tuple[Path, Path]) -> Callable[[socket.socket], object]:
    """Speak TLS, and nothing after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def speak(connection: socket.socket) -> None:
        with connection:
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                # the client does not trust it
                return

    return speak


@pytest.mark.slow(ci=True)
def test_a_server_that_cannot_be_reached_says_what_to_do(
    planned_survey: Survey, bucket: Bucket, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    path = settings(planned_survey, tmp_path, "s3://surveys/s", kind="serial")
    needs_login = says(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    forbids = says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    with (
        speaking(says(b"SSH-2.0-OpenSSH\r\n")) as other,
        speaking(shakes_hands(certificate)) as tls,
        speaking(needs_login) as proxy,
        speaking(forbids) as wall,
        speaking(says(b"")) as silent,
    ):
        by = f"http://user:{S3_SECRET}@127.0.0.1"
        cases = {
            "it refuses the connection; check the network": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "the name of its host is not known": {"AWS_ENDPOINT_URL": "http://storage.invalid"},
            "it does not answer like an S3 server": {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{other}"},
            "it does not speak TLS": {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{other}"},
            "its certificate is not trusted; set SSL_CERT_FILE": {"AWS_ENDPOINT_URL": f"https://localhost:{tls}"},
            "the connection broke off": {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent}"},
            "also HTTPS_PROXY": {"AWS_ENDPOINT_URL": "https://192.0.2.1", "HTTPS_PROXY": f"{by}:9"},
            "the proxy asks for a user and a password": {
                "AWS_ENDPOINT_URL": "https://192.0.2.1",
                "HTTPS_PROXY": f"{by}:{proxy}",
            },
            "the proxy refuses this address": {
                "AWS_ENDPOINT_URL": "https://192.0.2.1",
                "HTTPS_PROXY": f"{by}:{wall}",
            },
            "407 Proxy Authentication Required; correct the user": {
                "AWS_ENDPOINT_URL": "http://192.0.2.1",
                "HTTP_PROXY": f"{by}:{proxy}",
            },
        }
        for sentence, change in cases.items():
            said = refused(lsbatch(Bucket(bucket.name, bucket.environment | change), "run", str(path)))
            assert said.startswith("lsbatch: s3://surveys/s: cannot be written to: http"), said
            assert sentence in said


def test_a_server_that_never_answers_is_given_up(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second where a run waits for ten."""
    monkeypatch.setattr(stores, "SOON_S", 1.0)
    use(bucket, monkeypatch)
    with speaking(is_silent) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        with pytest.raises(LsbatchError, match=r"it does not answer in time; wait and run again"):
            files.make_folder(objects.path_of("s3://surveys/s"))
    assert time.monotonic() - began < 15


def test_a_slow_answer_is_read_to_its_end(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of the whole request, as obstore has by default, would break off large objects on slow lines."""
    monkeypatch.setattr(stores, "READ_S", 1.0)
    data = os.urandom(400_000)
    with servers.troubled(bucket, Trouble(first=["passed", "trickle"], wait_s=3.0)) as behind:
        use(behind, monkeypatch)
        path = objects.path_of("s3://surveys/slow")
        objects.put(path, data)
        began = time.monotonic()
        assert objects.get(path) == data
    assert time.monotonic() - began > 2.5


LINE = {"tile": "r000c000", "answer": "landslide"}


def add_once(path: Path) -> object:
    """What a reviewer does: an answer that is there already is refused."""
    return journal.append(path, LINE, lambda records: LINE not in records), journal.read(path)


def hold(path: Path) -> object:
    with lease.acquire(path) as held:
        held.check()
    return lease.holders(path)


def put_and_get(path: Path) -> object:
    objects.put(path / "a", b"one")
    objects.put(path / "a", b"two")
    return objects.get(path / "a"), objects.get_range(path / "a", 1, 3), objects.head(path / "a")["size"]


def upload(path: Path) -> object:
    """In parts, since it has 12 MB."""
    big = Path(os.environ["TMPDIR"]) / "big"
    big.write_bytes(b"0123456789ab" * 2**20)
    objects.upload(big, path / "big")
    return objects.fetched(path / "big").read_bytes() == big.read_bytes()


def list_and_remove(path: Path) -> object:
    for name in "abc":
        objects.put(path / f"{name}.json", b"{}")
    before = objects.get_many(path, ".json")
    objects.remove(path / "a.json")
    objects.remove(path / "a.json")
    objects.remove_below(path)
    return sorted(before), objects.in_folder(path, ".json")


@pytest.mark.parametrize("fate", ["lost", "cut", "refused", "dropped"])
@pytest.mark.parametrize("work", [add_once, hold, put_and_get, upload, list_and_remove])
def test_each_request_may_fail_once(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], object], fate: str
) -> None:
    """Whichever request fails, and whether or not it was carried out, the result is that of a quiet network."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    trouble = Trouble()
    with servers.troubled(bucket, trouble) as behind:
        use(behind, monkeypatch)
        expected = work(objects.path_of("s3://surveys/quiet"))
        count = trouble.told.total()
        assert count >= 3
        for number in range(count):
            trouble.first = ["passed"] * number + [fate]
            assert work(objects.path_of(f"s3://surveys/{number}")) == expected, f"request {number} of {count}"
            trouble.first.clear()
    assert trouble.told[fate] >= count - 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_survey_whose_storage_goes_away(
    planned_survey: Survey,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    moment: int,
) -> None:
    monkeypatch.setattr(stores, "TRIES", 0)
    path = settings(planned_survey, tmp_path, "s3://surveys/s", kind="serial", attempts=1, wait_s=0.0)
    config = survey_settings.load(path)
    outage = servers.Outage(after=moment, seconds=float("inf"))
    with servers.troubled(bucket, Trouble(outage=outage)) as behind:
        use(behind, monkeypatch)
        with pytest.raises(LsbatchError) as caught:
            run.survey(config, BenchScreen(), until="score")  # type: ignore[arg-type]
    assert outage.missed
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("s3://surveys/s/"), str(caught.value)
    assert "the connection broke off; wait and run again" in str(caught.value)
    gc.collect()
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("error", [ValueError("a\nb"), ValueError("")])
def test_an_error_that_nobody_knows_is_one_line(error: Exception) -> None:
    assert "\n" not in str(error_sentences.of_error(error, "s3://surveys/s"))


@pytest.mark.slow(ci=True)
def test_half_an_answer_in_a_survey(
    done_survey: Survey, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stage of one tile here; tests/storage/test_object_storage.py has a whole survey."""
    trouble = Trouble(refused=0.05, slow=0.05, cut=0.1, seed=8)
    with servers.troubled(bucket, trouble) as behind:
        path = settings(done_survey, tmp_path, "s3://surveys/s", kind="serial", wait_s=0.0)
        done = programs.run("run", str(path), "--until", "stack", "--part", "1/4", env=os.environ | behind.environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert min(trouble.told[kind] for kind in ("refused", "slow", "cut")) >= 2, trouble.told
    ours, theirs = in_bucket(bucket, "s"), on_disk(done_survey)
    stack = [name for name in ours if name.startswith("cube.zarr/stack/")]
    assert len(stack) > 20
    assert [name for name in stack if ours[name] != theirs.get(name)] == []
