"""Damage to good inputs: bytes of files, values of JSON documents, columns of tables. Strategies of hypothesis.

Each strategy begins with a good input (a seed) and damages it a few times. Hypothesis shrinks a failing input to fewer
damages and smaller ones.
"""

import copy
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.security.hostile import ESCAPES, SCRIPT

#: Damages of one input.
MOST = 5
#: Lengths and counts at which parsers fail.
NUMBERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
#: Values in the place of another one in a JSON document.
VALUES: tuple[Any, ...] = (
    None, True, False, "", " ", "x", "nan", "../../x", "/etc/passwd", "file:///etc/passwd", "http://[::1", SCRIPT,
    *ESCAPES, *(one for one in NUMBERS if one < 2**63), -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320,
    math.nan, math.inf, -math.inf, [], {}, [[]], [None], {"": None}, [0, 0], [1e308, 1e308, -1e308, -1e308],
    {"type": "Feature"}, "x" * 3000, "9" * 5000, "2020-13-45", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "+", "EPSG:0",
)  # fmt: skip
#: Pieces of text at which parsers of YAML, HTTP and JSON fail.
TOKENS = (
    b"\0", b"\n", b"\r\n", b"\t", b": ", b"- ", b"&a ", b"*a", b"!!int ", b"!!set ", b"!!timestamp ", b"<<: ", b"? ",
    b"!!python/object/apply:os.system [x]", b"%", b"{", b"[" * 40, b"]", b"'", b'"', b"1e999", b"0x", b"\xff",
    b"\xed\xa0\x80", b"\xc2\x85", b"2020-13-45", b"1:2:3", b"HTTP/1.1", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"/../", b"%2e%2e%2f", b"#", b"?", b"~", b".inf", b".nan",
)  # fmt: skip


@st.composite
def damaged_bytes(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Return a file with some bytes changed, added, doubled or lost."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, MOST))):
        start = _place(draw, len(data))
        change = draw(st.sampled_from(("set", "flip", "number", "cut", "double", "insert", "end")))
        if change == "set" and start < len(data):
            data[start] = draw(st.integers(0, 255))
        elif change == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif change == "number":
            size = draw(st.sampled_from((1, 2, 4, 8)))
            value = draw(st.sampled_from(NUMBERS)) & (256**size - 1)
            data[start : start + size] = value.to_bytes(size, draw(st.sampled_from(("little", "big"))))
        elif change == "cut":
            del data[start : start + draw(st.integers(1, 64))]
        elif change == "double":
            data[start:start] = data[start : start + draw(st.integers(1, 64))]
        elif change == "insert":
            data[start:start] = draw(st.sampled_from(tokens)) if tokens else draw(st.binary(min_size=1, max_size=16))
        elif change == "end":
            del data[start:]
    return bytes(data)


def _place(draw: st.DrawFn, size: int) -> int:
    """Return a place in a file. Headers lie at its beginning or its end, so half of the places do."""
    near = draw(st.integers(0, min(size, 400)))
    where = draw(st.sampled_from(("start", "end", "any", "any")))
    return near if where == "start" else size - near if where == "end" else draw(st.integers(0, size))


@st.composite
def damaged_values(draw: st.DrawFn, seeds: Sequence[Any]) -> Any:
    """Return a document of JSON values with some values replaced, moved, lost or doubled."""
    value = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _ in range(draw(st.integers(1, MOST))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(draw(st.sampled_from(VALUES)))
        inside, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(("replace", "replace", "move", "lose", "double", "wrap", "rename")))
        if change == "replace":
            # a copy, because a later damage may be inside of it
            inside[key] = copy.deepcopy(draw(_VALUES))
        elif change == "move":
            other, name = draw(st.sampled_from(places))
            inside[key] = json.loads(json.dumps(other[name]))
        elif change == "lose":
            del inside[key]
        elif change == "wrap":
            inside[key] = [inside[key]]
        elif change == "double" and isinstance(inside, list):
            inside.insert(key, json.loads(json.dumps(inside[key])))
        elif change == "rename" and isinstance(inside, dict):
            inside[draw(st.sampled_from(("", "x", "id", "type", "\x1b[2J")))] = inside.pop(key)
    return value


_VALUES = st.one_of(st.sampled_from(VALUES), st.integers(), st.floats(), st.text(max_size=8))


def _places(value: Any) -> Any:
    """Yield the container and the key of every value in a document, from the outside to the inside."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
    for key in keys:
        yield from _places(value[key])


def damaged_json(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a JSON file: mostly with other values, else with other bytes."""
    documents = damaged_values([json.loads(one) for one in seeds]).map(_dumped)
    return st.one_of(documents, documents, documents, damaged_bytes(seeds, TOKENS))


def _dumped(value: Any) -> bytes:
    # a lone surrogate stays an escape sequence
    return json.dumps(value).encode()


def damaged_part(
    seeds: Sequence[bytes], take: Callable[[bytes], Any], put: Callable[[bytes, Any], bytes]
) -> st.SearchStrategy[bytes]:
    """Return a file with damage to the JSON document in it, or to its bytes.

    Parameters
    ----------
    seeds : sequence of bytes
    take : callable
        From a file to the document in it.
    put : callable
        From a file and another document to a file with this document.
    """

    @st.composite
    def inside(draw: st.DrawFn) -> bytes:
        seed = draw(st.sampled_from(seeds))
        return put(seed, draw(damaged_values([take(seed)])))

    return st.one_of(inside(), inside(), damaged_bytes(seeds))
