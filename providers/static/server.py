"""The register over HTTP: for the provider and operators with its token, for each agent with a key of its own."""

import hmac
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from flask import Flask, Request, Response, jsonify, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from providers.static.files import write_whole
from providers.static.register import Refusal, Register, RegisterError
from providers.static.wire import Join, Listing, Marks, NewJoinToken, NewOrder, Page, Report
from state.clock import draw_secret

PAGE: Final = 500
BODY_MAX: Final = 1024 * 1024
THREADS: Final = 32
STATUSES: Final = {
    Refusal.BAD_REQUEST: 400,
    Refusal.BAD_TOKEN: 403,
    Refusal.BUSY: 503,
    Refusal.NAME_TAKEN: 409,
    Refusal.NO_FREE_MACHINE: 409,
    Refusal.NO_SUCH_MACHINE: 404,
    Refusal.MACHINE_IN_USE: 409,
    Refusal.ORDER_OF_ANOTHER: 409,
    Refusal.UNKNOWN_MACHINE: 401,
}

Body = TypeVar("Body", bound=BaseModel)


def create_app(register: Register, token: str, *, page: Callable[[], int] = lambda: PAGE) -> Flask:
    """Return the register's application.

    Args:
        register: What it speaks for.
        token: What the provider and operators show.
        page: Most items of a page.
    """
    app = Flask("skerry-register")
    app.config["MAX_CONTENT_LENGTH"] = BODY_MAX

    @app.errorhandler(RegisterError)
    def refused(error: RegisterError) -> tuple[Response, int]:
        return _error(error.code, str(error)), STATUSES[error.code]

    @app.errorhandler(ValidationError)
    def malformed(error: ValidationError) -> tuple[Response, int]:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return _error(Refusal.BAD_REQUEST, f"{where or 'body'}: {first['msg']}"), STATUSES[Refusal.BAD_REQUEST]

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> tuple[Response, int]:
        return _error(error.name.replace(" ", ""), error.description or ""), error.code or 500

    @app.before_request
    def is_allowed() -> tuple[Response, int] | None:
        by_themselves = request.path in {"/v1/join", "/v1/report", "/v1/alive"}
        if by_themselves or hmac.compare_digest(_bearer(request).encode(), token.encode()):
            return None
        return _error("Unauthorized", "show the register's token"), 401

    _add_lists(app, register, page)
    _add_machines(app, register)
    _add_orders(app, register)
    _add_agents(app, register)
    return app


def _error(code: str, message: str) -> Response:
    return jsonify({"error": {"code": code, "message": message}})


def _bearer(asked: Request) -> str:
    scheme, _, secret = asked.headers.get("Authorization", "").partition(" ")
    return secret if scheme == "Bearer" else ""


def _body(kind: type[Body]) -> Body:
    return kind.model_validate_json(request.get_data())


def _answer(value: BaseModel) -> Response:
    return Response(value.model_dump_json(), mimetype="application/json")


def _add_lists(app: Flask, register: Register, page: Callable[[], int]) -> None:
    @app.get("/v1/machines")
    def machines() -> Response:
        found = [m for m in register.machines(request.args.get("region")) if m.name > request.args.get("after", "")]
        part = found[: page()]
        return _answer(Page(machines=tuple(part), next=part[-1].name if len(found) > len(part) else None))

    @app.get("/v1/orders")
    def assignments() -> Response:
        listed = register.assignments(request.args.get("region", ""), request.args.get("owner", ""))
        found = [o for o in listed if o.instance_id > request.args.get("after", "")]
        part = [assignment.model_copy(update={"script": ""}) for assignment in found[: page()]]
        return _answer(Page(assignments=tuple(part), next=part[-1].instance_id if len(found) > len(part) else None))


def _add_machines(app: Flask, register: Register) -> None:
    @app.post("/v1/machines")
    def list_machines() -> Response:
        return _answer(Page(machines=register.list_machines(_body(Listing).machines)))

    @app.post("/v1/tickets")
    def draw() -> Response:
        return jsonify({"token": register.draw_join_token(_body(NewJoinToken))})

    @app.patch("/v1/machines/<name>")
    def mark(name: str) -> Response:
        return _answer(register.mark(name, _body(Marks)))

    @app.delete("/v1/machines/<name>")
    def remove(name: str) -> Response:
        register.remove(name, is_gone=request.args.get("gone") == "yes")
        return jsonify({})


def _add_orders(app: Flask, register: Register) -> None:
    @app.put("/v1/orders/<instance_id>")
    def assignment(instance_id: str) -> Response:
        asked = _body(NewOrder)
        if asked.instance_id != instance_id:
            msg = "the order has another id than its address"
            raise RegisterError(Refusal.BAD_REQUEST, msg)
        return _answer(register.assignment(asked).model_copy(update={"script": ""}))

    @app.delete("/v1/orders/<instance_id>")
    def stop(instance_id: str) -> Response:
        register.stop(instance_id)
        return jsonify({})


def _add_agents(app: Flask, register: Register) -> None:
    @app.get("/v1/alive")
    def alive() -> Response:
        return jsonify({})

    @app.post("/v1/join")
    def join() -> Response:
        return _answer(register.join(_body(Join)))

    @app.post("/v1/report")
    def report() -> Response:
        return _answer(register.report(_bearer(request), _body(Report)))


def read_or_draw_token(path: Path) -> str:
    """Return the register's token; the first time it is drawn, for its owner's eyes alone."""
    if not path.exists():
        write_whole(path, draw_secret())
    return path.read_text().strip()


class RegisterServer:
    """A register that listens."""

    def __init__(self, app: Flask, host: str, port: int, tls: tuple[Path, Path] | None = None) -> None:
        """Prepare.

        Args:
            app: What answers.
            host: Where to listen.
            port: 0: any that is free.
            tls: The files of a certificate and its key; None: without TLS.
        """
        self._server = Server((host, port), app, numthreads=THREADS, server_name="skerry")
        if tls is not None:
            adapter = BuiltinSSLAdapter(str(tls[0]), str(tls[1]))
            adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._server.ssl_adapter = adapter
        self._scheme = "http" if tls is None else "https"
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen, and return the address.

        Raises:
            OSError: The port is select_reservation, or is not ours to listen on.
        """
        self._server.prepare()
        host, port = self._server.bind_addr[:2]
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()
        return f"{self._scheme}://{host}:{port}"

    def stop(self) -> None:
        """Listen no more."""
        self._server.stop()
        if self._thread is not None:
            self._thread.join()
