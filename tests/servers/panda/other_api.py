"""``/api/v1``: ``file_server``, ``creds`` and ``system``.

Source: pandaserver/api/v1/{file_server,credential_management,system}_api.py of panda-server 1.0.4.
"""

from __future__ import annotations

import json
import os
import struct

from .api import Answer, Call, answer, endpoint
from .settings import HOST

_MB = 1024 * 1024
_LIMIT = 10 * _MB
_SOURCES_LIMIT = 768 * _MB


@endpoint("file_server/upload_cache_file", "POST")
def upload_cache_file(call: Call, file: tuple[str, bytes]) -> Answer:
    given, content = file
    # The name as given: only a relative path begins with "sources.".
    sources = given.startswith("sources.")
    limit = _SOURCES_LIMIT if sources else _LIMIT
    if call.length > limit:
        text = "ERROR: upload failure. Exceeded size limit "
        text += f"{call.length // _MB} MB > {limit // _MB} MB."
        hint = "remove redundant files from your work area"
        if not sources:
            hint = "submit the job without --noBuild/--libDS"
        return answer(False, f"{text} Please {hint}")
    name = given.split("/")[-1]
    path = call.world.settings.cache / name
    if path.exists() and not given.endswith(".__ow__"):
        os.utime(path)
        return answer(False, "ERROR: cannot overwrite file")
    path.write_bytes(content)
    checksum = str(struct.unpack("II", content[-8:])[0]) if len(content) >= 8 else None
    key = f"{call.caller.name}/{len(content)}/{checksum}"
    call.world.store.put("sandbox", key, name)
    return answer(True)


@endpoint("file_server/validate_cache_file", "POST")
def validate_cache_file(call: Call, file_size: int, checksum: int | str) -> Answer:
    key = f"{call.caller.name}/{file_size}/{checksum}"
    if name := call.world.store.get("sandbox", key):
        # As in the real API: without the port, which the client adds again.
        return answer(True, f"FOUND:{HOST}:{name}")
    return answer(False, "NOTFOUND")


@endpoint("creds/set_user_secrets", "POST")
def set_user_secrets(call: Call, key: str | None = None, value: str | None = None) -> Answer:
    store, owner = call.world.store, call.caller.name
    owned = store.get("secrets", owner) or {}
    if key is None:
        owned = {}
    elif value is None:
        owned.pop(key if key in owned else f"___file___:{key}", None)
    else:
        owned[key] = value
    store.put("secrets", owner, owned)
    return answer(True, "OK")


@endpoint("creds/get_user_secrets", "GET")
def get_user_secrets(call: Call, keys: list[str] | None = None) -> Answer:
    owned = call.world.store.get("secrets", call.caller.name) or {}
    return answer(
        True, data=json.dumps({key: owned[key] for key in owned if not keys or key in keys})
    )


@endpoint("system/is_alive", "GET", secure=False)
def is_alive(call: Call) -> Answer:
    return answer(True)


@endpoint("system/get_attributes", "GET")
def get_attributes(call: Call) -> Answer:
    environment = dict(call.caller.variables)
    text = "\n".join(f"{name} : {value}" for name, value in environment.items())
    return answer(True, text, {"parameters": {}, "environment": environment})
