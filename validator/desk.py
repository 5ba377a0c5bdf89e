"""One validator's API, asked over HTTP: a request, an answer, or the reason why there is none.

Decides how long one waits, how much is read, and that nothing is obeyed: no redirects, no proxy of
the environment, no answer larger than agreed. What is asked and believed is decided in
`validator.client`.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from validator import strict_json
from wire.access import AccessRequest, HolderSecret
from wire.errors import Malformed, Unavailable
from wire.keys import Signer

TIMEOUT_S = 10.0
MOST_BYTES = 16 * 2**20
_MOST_WORDS = 300
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Answer:
    """What one validator said."""

    url: str
    """Who said it."""

    status: int
    """HTTP status."""

    content: bytes
    """The body."""

    @property
    def json(self) -> Any:
        """The body as JSON; raises Unavailable when it is none: this is no validator."""
        try:
            return strict_json.read(self.content)
        except (ValueError, RecursionError):
            raise Unavailable(f"{self.url} answers {self.status} and what is no JSON") from None

    @property
    def words(self) -> str:
        """What a problem says, in one printable line: it is a stranger's."""
        try:
            told = self.json
        except Unavailable:
            told = None
        if not _is_dict(told):
            more = ": this is no validator's API, but another program's (a gateway's, perhaps)"
            return f"status {self.status}" + (more if self.status == _NOT_FOUND else "")
        detail, remedy = str(told.get("detail", "")), str(told.get("remedy", ""))
        found = [detail, "" if remedy in detail else remedy]
        return plain(": ".join(each for each in found if each)) or f"status {self.status}"


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def plain(value: object) -> str:
    """A stranger's words: one line, printable, short."""
    shown = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(shown.split())[:_MOST_WORDS]


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificate is believed; the system's authorities are when nothing is said."""

    ca: Path | None = None
    """PEM file of who vouches for validators' certificates."""

    certificate: Path | None = None
    """PEM file of the one certificate that is believed, under whatever name."""

    def context(self) -> ssl.SSLContext:
        """For connections; raises OSError when a file is not there."""
        if self.certificate is None:
            return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # It need not be an authority's.
        return context


SYSTEM = Trust()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, where readings are private."""

    network: bytes
    """Network id, 32 bytes."""

    holder: HolderSecret | None = None
    """Secret of the meter's holder link."""

    authority: Signer | None = None
    """Key of a registered authority."""

    def header(self, validator: str, method: str, target: str) -> dict[str, str]:
        """What is sent with a request; raises Unavailable when the key is away."""
        if self.authority is not None:
            asked = AccessRequest(self.network, validator, method, target, int(time.time()))
            return {"Authorization": asked.signed(self.authority)}
        return {} if self.holder is None else {"Authorization": self.holder.header}


class Desk:
    """One validator's API."""

    def __init__(self, url: str, trust: Trust = SYSTEM, timeout_s: float = TIMEOUT_S) -> None:
        """Take its address.

        Args:
            url: `http://HOST:PORT` or `https://…`.
            trust: whose certificates are believed.
            timeout_s: for connecting, and for each part of an answer.

        Raises:
            Malformed: it is no address.
            OSError: there is no such PEM file.
        """
        self.url = checked(url)
        self.id = ""
        """Validator id, once it has told."""
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.url,
            trust_env=False,
            follow_redirects=False,
            verify=trust.context() if self.url.startswith("https") else False,
            headers={"User-Agent": "gridwitness"},
        )

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask once; raises Unavailable when there is no answer."""
        with self.stream(method, path, content, headers) as response:
            data = bytearray()
            for part in response.iter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise Unavailable(f"{self.url} answers more than {MOST_BYTES} bytes")
            return Answer(self.url, response.status_code, bytes(data))

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> Iterator[httpx.Response]:
        """The same, read piece by piece; `silence_s` is how long it may say nothing."""
        timeout_s = self._timeout_s
        timeout = httpx.Timeout(timeout_s, read=silence_s or timeout_s)
        try:
            with self._http.stream(
                method, path, content=content, headers=dict(headers or {}), timeout=timeout
            ) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as reason:
            why = _why(plain(reason) or type(reason).__name__, self.url)
            raise Unavailable(f"{self.url} does not answer: {why}") from None

    def target(self, path: str, params: Mapping[str, object]) -> str:
        """Path and query as they will stand in the request line."""
        request = self._http.build_request(
            "GET", path, params={k: str(v) for k, v in params.items()}
        )
        return request.url.raw_path.decode("ascii")


_CAUSES = (
    ("Connection refused", "nobody listens there; a validator should: is its `api` this address?"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS; is it an http:// address?"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is vouched for by nobody who is trusted here"),
    ("Server disconnected", "it ended the connection at once; is it an https:// address?"),
)
"""What is found in a library's words, and what it mostly means."""


def _why(words: str, url: str) -> str:
    """A library's words, or what they mean for who has asked."""
    host = urlsplit(url).hostname
    if "Name or service not known" in words or "name resolution" in words:
        return f"there is no machine of the name {host} ({words})"
    return next((f"{meant} ({words})" for mark, meant in _CAUSES if mark in words), words)


def checked(url: str) -> str:
    """An address without what comes after the port and path; raises Malformed."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or "@" in parts.netloc:
        raise Malformed(f"{url[:80]!r} is no validator's address: http://HOST:PORT is one")
    return url.rstrip("/")
