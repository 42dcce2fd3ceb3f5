"""Moto over WSGI, with two things mended: how long it looks for a service, and how it spells EC2's answers."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from providers.emulator.middleware import Environ, StartResponse

MOTOS_NAMESPACE: Final = b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15"'
EC2S_NAMESPACE: Final = b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
"""As EC2 itself sends it; clients other than boto3 find nothing under the other."""


class _Dispatcher(DomainDispatcherApplication):  # type: ignore[misc]
    """Moto's, which lists the folder of its own package at every request, while all others wait."""

    known: ClassVar[dict[str | None, Any]] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Return where a host leads, looked up once."""
        if host not in self.known:
            self.known[host] = super().get_backend_for_host(host)
        return self.known[host]


class MotoApplication:
    """Every service of moto's, by what a request is signed for."""

    def __init__(self) -> None:
        """Load no service yet."""
        self._dispatcher = _Dispatcher(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as moto does."""
        told: list[Any] = []
        body = b"".join(self._dispatcher(environ, lambda *answer: told.append(answer)))
        status, headers = told[-1][:2]
        body = body.replace(MOTOS_NAMESPACE, EC2S_NAMESPACE, 1)
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [body]
