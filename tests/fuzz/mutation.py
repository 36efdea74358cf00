"""Changes JSON documents at random places, into what a hostile worker may send."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

DIGESTS = ("a" * 64, "A" * 64, "a" * 63, "a" * 65, "g" * 64, "../" + "a" * 61, "\u0660" * 64)
NUMBERS = (
    *(-1, 0, 1, 1 << 31, 1 << 33, 1 << 62, 1 << 63, 1 << 70, -(10**9 << 33), 10**9 << 33),
    *(1.5, 1e300, float("inf"), float("nan"), True),
)
NAMES = (
    *("", ".", "..", "/", "work", "work/", "work//x", "work/./x", "work/../x", "../x", "x", "up1"),
    *("/etc/passwd", "work/../../../etc/passwd", "work/.snakemake/locks", "work/.git/config"),
    *("up1/x", "up2/x", "up99/x", "up0/x", "up-1/x", "up" + "9" * 5000 + "/x", "upx/y"),
    *("work/" + "x" * 300, "work/" + "ä" * 200, "work/" + "x/" * 3000 + "y", "work/a\0b", "\ud800"),
    *("work/\ud800", "work/\udc80", "work/\x1b]0;title\x07", "work/a\nb", "work/\u202ex"),
    *("work/out/a.txt", "work/folder", "work/folder/x", "work/out/a.txt/x", "work/Snakefile"),
)
DAMAGE = (b"", b"\xff", b"[" * 5000, b'"', b"{", b"1" * 5000, b"NaN", b"\0")
WORDS = ("success", "killed", "file", "dir", "link", "output", "undeclared", "staying", "\x1b[2J")
NESTED: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": {}}, [1], {"a": "b"})


def changed(value: Any, random: Random) -> Any:
    """Return a JSON value with one change at a random place; the value itself may change."""
    places = list(_places(value))
    if not places or random.random() < 0.01:
        return _any(random)
    holder, key = random.choice(places)
    if random.random() < 0.2 and isinstance(holder[key], str):
        return _everywhere(value, holder[key], _like(holder[key], random))
    random.choice((_replace, _replace, _edit, _remove, _repeat, _swap, _rename))(
        holder, key, value, random
    )
    return value


def text(value: Any, random: Random) -> bytes:
    """Return a document as bytes, now and then with damage that JSON does not know."""
    data = bytearray(json.dumps(value).encode())
    if random.random() < 0.1:
        for _ in range(random.randint(1, 3)):
            at = random.randrange(len(data) + 1)
            damage = random.choice(DAMAGE)
            data[at : at + random.randint(0, 40)] = damage
    return bytes(data)


def _places(value: Any) -> Any:
    """Yield each place in a value, as a list or dictionary with an index or key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _any(random: Random) -> Any:
    return deepcopy(random.choice(random.choice((DIGESTS, NUMBERS, NAMES, WORDS, NESTED))))


def _replace(holder: Any, key: Any, _value: Any, random: Random) -> None:
    holder[key] = _like(holder[key], random) if random.random() < 0.7 else _any(random)


def _like(old: Any, random: Random) -> Any:
    """Return a value that may stand in the place of another one."""
    if isinstance(old, str):
        return random.choice(DIGESTS if len(old) == 64 else NAMES if "/" in old else WORDS)
    return random.choice(NUMBERS) if isinstance(old, int | float) else _any(random)


def _everywhere(value: Any, old: str, new: str) -> Any:
    """Return a value with another text in all places, so that it still agrees with itself."""
    if isinstance(value, dict):
        return {
            new if key == old else key: _everywhere(inner, old, new) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_everywhere(inner, old, new) for inner in value]
    return new if value == old else value


def _edit(holder: Any, key: Any, _value: Any, random: Random) -> None:
    old = holder[key]
    if isinstance(old, str):
        at = random.randrange(len(old) + 1)
        holder[key] = old[:at] + str(random.choice(NAMES)) + old[at + random.randint(0, 2) :]
    elif isinstance(old, int | float):
        holder[key] = random.choice((-old, old + 1, old * 2, float(old), str(old), bool(old)))
    else:
        holder[key] = [old]


def _remove(holder: Any, key: Any, _value: Any, _random: Random) -> None:
    del holder[key]


def _repeat(holder: Any, key: Any, _value: Any, random: Random) -> None:
    if isinstance(holder, list):
        holder.insert(random.randrange(len(holder) + 1), deepcopy(holder[key]))
    else:
        holder[_key(random)] = deepcopy(holder[key])


def _rename(holder: Any, key: Any, _value: Any, random: Random) -> None:
    if isinstance(holder, dict):
        holder[_key(random)] = holder.pop(key)


def _swap(holder: Any, key: Any, value: Any, random: Random) -> None:
    other, where = random.choice(list(_places(value)))
    # Copies, as one may be a part of the other.
    here, there = deepcopy(holder[key]), deepcopy(other[where])
    other[where] = here
    holder[key] = there


def _key(random: Random) -> str:
    return str(random.choice(random.choice((DIGESTS, NAMES, WORDS))))
