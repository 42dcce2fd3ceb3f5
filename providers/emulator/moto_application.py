"""Moto over WSGI, with two corrections: cached service lookup, and EC2's own XML namespace."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from providers.emulator.middleware import Environ, StartResponse

MOTOS_NAMESPACE: Final = b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15"'
EC2S_NAMESPACE: Final = b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
"""EC2's own spelling; clients other than boto3 find no elements under moto's."""


class _Dispatcher(DomainDispatcherApplication):  # type: ignore[misc]
    """Moto's dispatcher with a cache: the original lists its package's folder, under a lock, at every request."""

    services: ClassVar[dict[str | None, Any]] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the service of a host, looked up once."""
        if host not in self.services:
            self.services[host] = super().get_backend_for_host(host)
        return self.services[host]


class MotoApplication:
    """A WSGI application of every moto service; the scope of a request's signature selects the service."""

    def __init__(self) -> None:
        """Create the dispatcher; services are loaded at their first request."""
        self._dispatcher = _Dispatcher(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Respond as moto does, with EC2's namespace."""
        responses: list[Any] = []
        body = b"".join(self._dispatcher(environ, lambda *response: responses.append(response)))
        status, headers = responses[-1][:2]
        body = body.replace(MOTOS_NAMESPACE, EC2S_NAMESPACE, 1)
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [body]
