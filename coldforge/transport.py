"""Carries requests to the server: keys, timeouts, retries, and errors in our own words."""

import email.utils
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from coldforge.errors import ApiError, ServerFailureError, UnreachableError, error_for_status
from coldforge.loopback import DirectSession
from coldforge.pacing import choose_retry_delay
from coldforge.settings import clean_secret, clean_url

logger = logging.getLogger(__name__)

_TRANSIENT_STATUSES = frozenset({408, 429, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_BROKEN_CONNECTION = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class Transport:
    """Speaks HTTP with one server. Not for use by several threads at once."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        outage_limit_s: float = 30.0,
        on_outage: Callable[[float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            base_url: Of the server, with or without ``/api``.
            key: A function key, sent as ``x-functions-key``.
            connect_timeout_s: Limit for reaching the server.
            read_timeout_s: Limit for a silence of the server.
            outage_limit_s: How long failed calls are repeated.
            on_outage: Told at each failure how many seconds the server has been away.
            sleep: Waits.
            clock: Seconds that only grow.

        Raises:
            SettingError: The URL is not a web address, or the key can't be sent.
        """
        self.base_url = clean_url(base_url).rstrip("/").removesuffix("/api")
        self._origin = _origin_of(self.base_url)
        self._own_headers = {"Accept": "application/json"}
        if key := clean_secret("key", key):
            self._own_headers["x-functions-key"] = key
        self._timeouts_s = (connect_timeout_s, read_timeout_s)
        self._outage_limit_s = outage_limit_s
        self._on_outage = on_outage
        self._sleep = sleep
        self._clock = clock
        self._session = DirectSession()
        # A .netrc would add a login that is not meant for the server. Proxies still apply,
        # except to this machine.
        self._session.auth = _leave_as_is

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        outage_limit_s: float | None = None,
        on_outage: Callable[[float], None] | None = None,
        **options: Any,
    ) -> requests.Response:
        """Send a request until it is answered, and return the answer if it is a good one.

        Only for requests that may be sent twice.

        Args:
            method: GET, DELETE, or POST with an ``Idempotency-Key``.
            url: A path on the server such as ``/api/jobs``, or an absolute URL. Keys go to the
                server only, whatever URL it hands out.
            outage_limit_s: How long failures are borne; the transport's own by default.
            on_outage: Told in the place of the transport's own.
            **options: For `requests`.

        Raises:
            ApiError: The server answered with an error.
            UnreachableError: It did not answer.
        """
        limit_s = self._outage_limit_s if outage_limit_s is None else outage_limit_s
        began = self._clock()
        failures = 0
        while True:
            try:
                return self._send_once(method, url, **options)
            except (ServerFailureError, UnreachableError) as error:
                failures += 1
                away_s = self._clock() - began
                retry_after_s = (
                    error.retry_after_s if isinstance(error, ServerFailureError) else None
                )
                delay_s = choose_retry_delay(failures, retry_after_s=retry_after_s)
                if not error.retryable or away_s + delay_s > limit_s:
                    raise
                # What follows a '?' may be a signature.
                path = url.partition("?")[0]
                logger.debug(
                    "%s %s failed %d times, again in %.1f s", method, path, failures, delay_s
                )
                tell = on_outage or self._on_outage
                if tell is not None:
                    tell(away_s)
                self._sleep(delay_s)

    @contextmanager
    def stream(self, url: str) -> Iterator[Iterator[bytes]]:
        """Open a body for reading, piece by piece.

        Raises:
            ApiError: The server answered with an error.
            UnreachableError: It did not answer, or broke off.
        """
        with self.send("GET", url, stream=True, headers={"Accept": "*/*"}) as response:
            yield self._pieces(response)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(256 * 1024)
        except requests.RequestException as error:
            raise self._unreachable(error) from error

    def _send_once(self, method: str, url: str, **options: Any) -> requests.Response:
        extra = options.pop("headers", {})
        # A path belongs under the base, which may have a path of its own behind a proxy.
        target = self.base_url + url if url.startswith("/") else self._join(self.base_url, url)
        for _ in range(_MAX_REDIRECTS + 1):
            own = self._own_headers if _origin_of(target) == self._origin else {}
            try:
                response = self._session.request(
                    method,
                    target,
                    headers={**own, **extra},
                    timeout=self._timeouts_s,
                    allow_redirects=False,
                    **options,
                )
            except _BROKEN_CONNECTION as error:
                raise self._unreachable(error) from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                # Its message may hold what was sent, keys included. Not all that a library
                # raises is of its own tree.
                raise UnreachableError(
                    f"The request to {self.base_url} failed ({type(error).__name__})."
                ) from error
            if response.status_code >= 400:
                raise _error_from(response)
            if response.status_code not in _REDIRECTS or method != "GET":
                return response
            response.close()
            target = self._join(target, response.headers.get("Location", ""))
        raise ServerFailureError(f"{self.base_url} redirects in a circle.")

    def _join(self, base: str, url: str) -> str:
        try:
            target = urljoin(base, url)
            _origin_of(target)
        except ValueError as error:
            raise ServerFailureError(
                f"{self.base_url} redirects to an address that is not valid."
            ) from error
        return target

    def _unreachable(self, error: Exception) -> UnreachableError:
        is_slow = isinstance(error, requests.Timeout)
        reason = (
            "does not answer in time" if is_slow else "can't be reached, or closed the connection"
        )
        return UnreachableError(f"{self.base_url} {reason}.", retryable=True)


def read_retry_after(
    headers: Mapping[str, str], *, now: Callable[[], float] = time.time
) -> float | None:
    """Return the seconds of a ``Retry-After``, in either of its forms, or None."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - now())


def _error_from(response: requests.Response) -> ApiError:
    with response:
        problem = read_json_object(response)
    status = response.status_code
    error = error_for_status(status)(
        str(problem.get("detail") or problem.get("title") or f"The server answered {status}."),
        code=problem.get("code"),
        status=status,
        retryable=bool(problem.get("retryable", status in _TRANSIENT_STATUSES)),
    )
    if isinstance(error, ServerFailureError):
        error.retry_after_s = read_retry_after(response.headers)
    return error


def read_json_object(response: requests.Response) -> dict[str, Any]:
    """Return the body, or an empty object if it is not a JSON object."""
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
