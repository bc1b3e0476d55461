"""The part of the gateway's Python SDK that replays: the same names, the same
requests, and answers read as strictly.  The SDK itself stands on httpx."""

import http.client
import json
from dataclasses import dataclass, fields
from typing import Optional
from urllib.parse import quote, urlencode, urlsplit


class ActeonError(Exception):
    """What everything here raises."""


class ConnectionError(ActeonError):
    """The server was not reached."""

    def is_retryable(self) -> bool:
        return True


class HttpError(ActeonError):
    """The server answered with another status than 200."""

    def __init__(self, status: int, message: str):
        self.status = status
        super().__init__(f"HTTP {status}: {message}")

    def is_retryable(self) -> bool:
        return self.status >= 500


@dataclass
class ReplayResult:
    original_action_id: str
    new_action_id: str
    success: bool
    error: Optional[str] = None

    @classmethod
    def from_dict(cls, data: dict) -> "ReplayResult":
        return cls(data["original_action_id"], data["new_action_id"], data["success"], data.get("error"))


@dataclass
class ReplaySummary:
    replayed: int
    failed: int
    skipped: int
    results: list[ReplayResult]

    @classmethod
    def from_dict(cls, data: dict) -> "ReplaySummary":
        results = [ReplayResult.from_dict(result) for result in data["results"]]
        return cls(data["replayed"], data["failed"], data["skipped"], results)


@dataclass
class ReplayQuery:
    namespace: Optional[str] = None
    tenant: Optional[str] = None
    provider: Optional[str] = None
    action_type: Optional[str] = None
    outcome: Optional[str] = None
    verdict: Optional[str] = None
    matched_rule: Optional[str] = None
    from_time: Optional[str] = None
    to_time: Optional[str] = None
    limit: Optional[int] = None

    def to_params(self) -> dict:
        names = {"from_time": "from", "to_time": "to"}
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {names.get(name, name): value for name, value in given.items() if value is not None}


class ActeonClient:
    def __init__(self, base_url: str, *, timeout: float = 30.0, api_key: Optional[str] = None):
        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        address = urlsplit(self.base_url)
        self._path = address.path
        self._connection = http.client.HTTPConnection(address.netloc, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self._connection.close()

    def _post(self, path: str) -> tuple[int, bytes]:
        headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive",
                   "User-Agent": "python-httpx/0.28.1", "Content-Type": "application/json", "Content-Length": "0"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            self._connection.request("POST", self._path + path, headers=headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionError(f"Connection error: {error}") from error

    def replay_action(self, action_id: str) -> ReplayResult:
        # The id is not escaped, but for what cannot stand in a path at all.
        path = quote(f"/v1/audit/{action_id}/replay", safe="/%:@!$&'()*+,;=~?")
        status, body = self._post(path)
        if status == 200:
            return ReplayResult.from_dict(json.loads(body))
        if status == 404:
            raise HttpError(404, f"Audit record not found: {action_id}")
        if status == 422:
            raise HttpError(422, "No stored payload available for replay")
        raise HttpError(status, "Failed to replay action")

    def replay_audit(self, query: Optional[ReplayQuery] = None) -> ReplaySummary:
        params = urlencode(query.to_params() if query else {})
        status, body = self._post("/v1/audit/replay" + ("?" + params if params else ""))
        if status == 200:
            return ReplaySummary.from_dict(json.loads(body))
        raise HttpError(status, "Failed to replay audit")
