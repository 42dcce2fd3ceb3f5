"""Failed connections, each as one short sentence, whichever HTTP library reports them. Pure."""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from providers.errors import NotConnectedError

FAULTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ConnectionRefusedError, "refuses the connection"),
    (socket.gaierror, "does not resolve"),
    (ssl.SSLCertVerificationError, "has a certificate that is not trusted"),
    (ssl.SSLError, "answers without TLS, or with a version of it that is not accepted"),
    (ConnectionError, "ends the connection"),
    (TimeoutError, "times out"),
)
"""The standard library's errors, which every HTTP library has as the first cause of its own."""
NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def not_connected(provider: str, operation: str, error: Exception) -> NotConnectedError | None:
    """Return our error where an SDK's exception comes from a failed connection; None where it does not."""
    chain = tuple(_causes(error))
    fault = next((text for found in reversed(chain) if (text := _fault(found))), None)
    if fault is None:
        return None
    url = next((url for found in chain if (url := _url(found))), "")
    return NotConnectedError(provider, operation, type(error).__name__, f"{_address(url) or provider} {fault}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and those that caused it."""
    passed: set[int] = set()
    while error is not None and id(error) not in passed:
        passed.add(id(error))
        yield error
        inner = getattr(error, "inner_exception", None)  # some SDKs chain no exceptions
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__


def _fault(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in NO_ROUTE:
        return "cannot be reached from here"
    # The same names in SDKs are classes of their own; only the standard library's count.
    return next((text for kind, text in FAULTS if isinstance(error, kind)), "")


def _url(error: BaseException) -> str:
    """Return the address that was called: where HTTP libraries keep it."""
    options = getattr(error, "kwargs", None)
    if isinstance(options, dict) and "endpoint_url" in options:
        return str(options["endpoint_url"])
    for called in (getattr(error, "conn", None), *error.args[:1]):
        host, port = getattr(called, "host", None), getattr(called, "port", None)
        if isinstance(host, str):
            return f"//{host}:{port}" if port else f"//{host}"
    try:
        return str(error.request.url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx raises the latter for an error without a request
        return ""


def _address(url: str) -> str:
    """Return host and port of a URL; the port only where the URL names it."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
