"""The register over HTTP: the provider and operators authenticate with its token, each agent with its own key."""

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

from providers.static.files import write_atomic
from providers.static.register import ErrorCode, Register, RegisterError
from providers.static.wire import JoinRequest, MachineUpdate, NewAssignment, NewJoinToken, NewMachines, Page, Report
from state.clock import draw_secret

PAGE_SIZE: Final = 500
BODY_MAX: Final = 1024 * 1024
THREADS: Final = 32
STATUSES: Final = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.INVALID_JOIN_TOKEN: 403,
    ErrorCode.MACHINE_IN_USE: 409,
    ErrorCode.MACHINE_NOT_FOUND: 404,
    ErrorCode.NAME_TAKEN: 409,
    ErrorCode.NO_FREE_MACHINE: 409,
    ErrorCode.OWNER_MISMATCH: 409,
    ErrorCode.REGISTER_LOCKED: 503,
    ErrorCode.UNKNOWN_KEY: 401,
}
WITHOUT_TOKEN: Final = frozenset({"/v1/join", "/v1/report", "/v1/health"})
"""Agents authenticate themselves in these requests; the health check needs no credentials."""

Body = TypeVar("Body", bound=BaseModel)


def create_app(register: Register, token: str, *, page_size: Callable[[], int] = lambda: PAGE_SIZE) -> Flask:
    """Return the register's HTTP application.

    Args:
        register: The register to serve.
        token: The bearer token of the provider and operators.
        page_size: Returns the number of items per page.
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
        return _error(ErrorCode.BAD_REQUEST, f"{where or 'body'}: {first['msg']}"), STATUSES[ErrorCode.BAD_REQUEST]

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> tuple[Response, int]:
        return _error(error.name.replace(" ", ""), error.description or ""), error.code or 500

    @app.before_request
    def authenticate() -> tuple[Response, int] | None:
        if request.path in WITHOUT_TOKEN or hmac.compare_digest(_bearer(request).encode(), token.encode()):
            return None
        return _error("Unauthorized", "the Authorization header lacks the register's token"), 401

    _add_lists(app, register, page_size)
    _add_machines(app, register)
    _add_assignments(app, register)
    _add_agents(app, register)
    return app


def _error(code: str, message: str) -> Response:
    return jsonify({"error": {"code": code, "message": message}})


def _bearer(received: Request) -> str:
    scheme, _, secret = received.headers.get("Authorization", "").partition(" ")
    return secret if scheme == "Bearer" else ""


def _body(kind: type[Body]) -> Body:
    return kind.model_validate_json(request.get_data())


def _response(value: BaseModel) -> Response:
    return Response(value.model_dump_json(), mimetype="application/json")


def _add_lists(app: Flask, register: Register, page_size: Callable[[], int]) -> None:
    @app.get("/v1/machines")
    def machines() -> Response:
        found = [m for m in register.machines(request.args.get("region")) if m.name > request.args.get("after", "")]
        part = found[: page_size()]
        return _response(Page(machines=tuple(part), next=part[-1].name if len(found) > len(part) else None))

    @app.get("/v1/assignments")
    def assignments() -> Response:
        owned = register.assignments(request.args.get("region", ""), request.args.get("owner", ""))
        found = [a for a in owned if a.instance_id > request.args.get("after", "")]
        part = [assignment.model_copy(update={"script": ""}) for assignment in found[: page_size()]]
        return _response(Page(assignments=tuple(part), next=part[-1].instance_id if len(found) > len(part) else None))


def _add_machines(app: Flask, register: Register) -> None:
    @app.post("/v1/machines")
    def add_machines() -> Response:
        return _response(Page(machines=register.add_machines(_body(NewMachines).machines)))

    @app.post("/v1/join-tokens")
    def issue_join_token() -> Response:
        return jsonify({"token": register.issue_join_token(_body(NewJoinToken))})

    @app.patch("/v1/machines/<name>")
    def update_machine(name: str) -> Response:
        return _response(register.update_machine(name, _body(MachineUpdate)))

    @app.delete("/v1/machines/<name>")
    def remove_machine(name: str) -> Response:
        register.remove_machine(name, is_gone=request.args.get("gone") == "yes")
        return jsonify({})


def _add_assignments(app: Flask, register: Register) -> None:
    @app.put("/v1/assignments/<instance_id>")
    def assign(instance_id: str) -> Response:
        body = _body(NewAssignment)
        if body.instance_id != instance_id:
            msg = f"instance_id: {body.instance_id} differs from {instance_id} in the path"
            raise RegisterError(ErrorCode.BAD_REQUEST, msg)
        return _response(register.assign(body).model_copy(update={"script": ""}))

    @app.delete("/v1/assignments/<instance_id>")
    def stop(instance_id: str) -> Response:
        register.stop(instance_id)
        return jsonify({})


def _add_agents(app: Flask, register: Register) -> None:
    @app.get("/v1/health")
    def health() -> Response:
        return jsonify({})

    @app.post("/v1/join")
    def join() -> Response:
        return _response(register.join(_body(JoinRequest)))

    @app.post("/v1/report")
    def report() -> Response:
        return _response(register.handle_report(_bearer(request), _body(Report)))


def load_or_create_token(path: Path) -> str:
    """Return the register's token; on first use create it, in a file that only its owner can read."""
    if not path.exists():
        write_atomic(path, draw_secret())
    return path.read_text().strip()


class RegisterServer:
    """An HTTP server for a register."""

    def __init__(self, app: Flask, host: str, port: int, tls: tuple[Path, Path] | None = None) -> None:
        """Configure the server; nothing listens yet.

        Args:
            app: The application to serve.
            host: The address to listen on.
            port: The port; 0: any free one.
            tls: The certificate's file and its key's; None: plain HTTP.
        """
        self._server = Server((host, port), app, numthreads=THREADS, server_name="skerry")
        if tls is not None:
            adapter = BuiltinSSLAdapter(str(tls[0]), str(tls[1]))
            adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._server.ssl_adapter = adapter
        self._scheme = "http" if tls is None else "https"
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen in a thread of its own, and return the URL.

        Raises:
            OSError: The port is in use, or this process may not bind it.
        """
        self._server.prepare()
        host, port = self._server.bind_addr[:2]
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()
        return f"{self._scheme}://{host}:{port}"

    def stop(self) -> None:
        """Stop listening, and wait for the thread."""
        self._server.stop()
        if self._thread is not None:
            self._thread.join()
