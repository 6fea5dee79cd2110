"""Surveys in object storage, for tests: their settings, and what must be the same as on disk."""

import os
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from lsbatch.catalog.survey import Survey
from lsbatch.settings import to_yaml
from tests import programs
from tests.servers import Bucket

#: What must not depend on where a survey lies. Receipts and reports tell times, and plans the folder's name.
SAME = ("cube.zarr/", "parts/", "inventory/landslides.", "maps/", "survey.qgz")


def lsbatch(bucket: Bucket, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command that may use the bucket."""
    return programs.run(*words, env=os.environ | bucket.environment)


def settings(survey: Survey, folder: Path, address: str, **cluster: object) -> Path:
    """The settings of a survey with its output elsewhere."""
    config = survey.config.model_copy(update={"cluster": survey.config.cluster.model_copy(update=cluster)})
    path = folder / "config.yaml"
    text = to_yaml(config).replace(str(survey.config.output), address)
    assert address in text
    path.write_text(text, encoding="utf-8")
    return path


def on_disk(survey: Survey) -> dict[str, bytes]:
    """Files of a survey that must be the same wherever it lies."""
    root = survey.workspace.root
    names = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if name.startswith(SAME)}


def in_bucket(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    """The same in object storage."""
    found = {
        key.removeprefix(f"{prefix}/"): data for key, data in bucket.objects().items() if key.startswith(f"{prefix}/")
    }
    return {name: data for name, data in found.items() if name.startswith(SAME)}


def refusing(status: int, code: str, message: str, region: str = "") -> Callable[..., BaseHTTPRequestHandler]:
    """A server that answers every request with an error, in the words of S3."""
    place = f"<Region>{region}</Region>" if region else ""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message>{place}</Error>'.encode()

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _refuse

    return Refusing
