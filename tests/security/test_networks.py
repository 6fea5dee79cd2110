"""Hostile networks of others: through the command line, refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from tests import networks
from tests.security import hostile
from tests.security.conftest import Done

Cli = Callable[..., Done]


def reading(location: str) -> bytes:
    """A network whose weights lie in another file."""
    made = networks.blur()
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return made.SerializeToString()


def calling(domain: str, name: str) -> bytes:
    made = networks.blur()
    made.graph.node.append(helper.make_node(name, ["bands"], ["y"], domain=domain))
    return made.SerializeToString()


def put(**changes: Any) -> str:
    return json.dumps(networks.item() | changes)


HOSTILE: dict[str, tuple[bytes | None, str | None, str]] = {
    "a pickle": (b"\x80\x04cos\nsystem\n(S'touch sprung'\ntR.", None, "is not an ONNX file, or is damaged"),
    "a file that escapes": (reading("\x1b]0;owned\x07"), None, "allowed is a relative path"),
    "a secret": (reading("../../../../../../etc/passwd"), None, "allowed is a relative path"),
    "memory of the process": (reading("*/_ORT_MEM_ADDR_/*"), None, "allowed is a relative path"),
    "an operator that escapes": (calling("\x1b[2J", "\x1b[2J"), None, "has the operator \\x1b[2J"),
    "an operator that loads": (calling("com.microsoft", "EPContext"), None, "com.microsoft.EPContext"),
    "an operator of Python": (calling("ai.onnx.contrib", "PyOp"), None, "ai.onnx.contrib.PyOp"),
    "an item that escapes": (
        None,
        json.dumps(networks.item(**{"mlm:input": [networks.given(bands=["\x1b[2J"])]})),
        "'\\x1b[2J' is not a band",
    ),
    "an asset elsewhere": (
        None,
        put(assets={"m": {"href": "http://169.254.169.254/x.onnx", "roles": ["mlm:model"]}}),
        "allowed is a relative",
    ),
    "HTML": (None, put(assets={hostile.SCRIPT: 3}), "assets.<img"),
    "a name without end": (None, put(assets={"x" * 100_000: 3}), "assets.x"),
    "a number without end": (None, "1" * 100_000, "item: "),
    "megabytes": (None, " " * 20_000_000, "is too large: at most 10 MB are read"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "said", "words"), list(HOSTILE.values()), ids=list(HOSTILE))
def test_networks(
    lsbatch: Cli, tmp_path: Path, model: bytes | None, said: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = networks.write(tmp_path / "folder", model, said)
    lsbatch("models", "show", str(path)).refused(words)
    assert not (tmp_path / "sprung").exists()


def test_facts_that_escape_are_shown_as_text(lsbatch: Cli, tmp_path: Path) -> None:
    learned = {"surveys": ["\x1b[2J"], "\x1b]0;owned\x07": "\x9b2J", "chip_sets": [{"name": "\x1b[2J"}], "split": [1]}
    said = networks.item(
        **{"lsbatch:learned_from": learned, "license": "\x1b[2J", "lsbatch:applicability": {"seasons": 3, "scenes": []}}
    )
    done = lsbatch("models", "show", str(networks.write(tmp_path, said=json.dumps(said))))
    assert done.code == 0, done
    done.safe()
    done = lsbatch("models", "show", str(networks.write(tmp_path, said=json.dumps(said))), "--json")
    assert done.code == 0, done
    done.safe()
