"""A stand-in for OpenSearch, in memory, with only the calls of DIRAC's JobParametersDB.

Run as ``python opensearch.py PORT``.
"""

from __future__ import annotations

import json
import re
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Json = dict[str, Any]
Answer = tuple[HTTPStatus, Json]

_ABOUT: Json = {
    "name": "stand-in",
    "cluster_name": "stand-in",
    "cluster_uuid": "stand-in",
    "version": {"number": "2.11.0", "distribution": "opensearch"},
}
_indices: dict[str, dict[str, Json]] = {}


def answer(method: str, path: list[str], body: Json) -> Answer:
    """Answer one request."""
    match path:
        case []:
            return HTTPStatus.OK, _ABOUT
        case ["_index_template", *_]:
            return HTTPStatus.OK, {"acknowledged": True}
        case ["_mget"]:
            return HTTPStatus.OK, {"docs": [_found(d["_index"], d["_id"]) for d in body["docs"]]}
        case [index]:
            return _answer_index(method, index)
        case [index, "_doc" | "_create", identifier]:
            return _answer_document(method, index, identifier, body)
        case [index, "_update", identifier]:
            return _update(index, identifier, body)
    return HTTPStatus.BAD_REQUEST, {"error": {"type": "unknown", "reason": "/".join(path)}}


def _answer_index(method: str, index: str) -> Answer:
    if method == "HEAD":
        return HTTPStatus.OK if index in _indices else HTTPStatus.NOT_FOUND, {}
    if method == "DELETE":
        _indices.pop(index, None)
    else:
        _indices.setdefault(index, {})
    return HTTPStatus.OK, {"acknowledged": True, "shards_acknowledged": True, "index": index}


def _answer_document(method: str, index: str, identifier: str, body: Json) -> Answer:
    documents = _indices.setdefault(index, {})
    if method in ("GET", "HEAD"):
        known = identifier in documents
        return HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, _found(index, identifier)
    if method == "DELETE":
        known = documents.pop(identifier, None) is not None
        return HTTPStatus.OK if known else HTTPStatus.NOT_FOUND, _result(
            index, identifier, "deleted" if known else "not_found"
        )
    known = identifier in documents
    documents[identifier] = body
    return HTTPStatus.OK if known else HTTPStatus.CREATED, _result(
        index, identifier, "updated" if known else "created"
    )


def _update(index: str, identifier: str, body: Json) -> Answer:
    document = _indices.setdefault(index, {}).get(identifier)
    if document is None:
        return HTTPStatus.NOT_FOUND, {"error": {"type": "document_missing_exception"}}
    document.update(body.get("doc", {}))
    if removed := re.match(r"ctx\._source\.remove\('(.*)'\)", str(body.get("script", ""))):
        document.pop(removed[1], None)
    return HTTPStatus.OK, _result(index, identifier, "updated")


def _found(index: str, identifier: object) -> Json:
    source = _indices.get(index, {}).get(str(identifier))
    known = {"_index": index, "_id": str(identifier), "found": source is not None}
    return known if source is None else {**known, "_source": source}


def _result(index: str, identifier: str, result: str) -> Json:
    return {"_index": index, "_id": identifier, "_version": 1, "result": result}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        status, content = answer(self.command, path, json.loads(raw) if raw else {})
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if code == HTTPStatus.BAD_REQUEST:
            super().log_request(code, size)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
