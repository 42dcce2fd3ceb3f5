"""A typed client of a register's HTTP API, for the provider and for operators."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

from providers.static.errors import RegisterResponseError
from providers.static.wire import (
    Assignment,
    Machine,
    MachineUpdate,
    NewAssignment,
    NewJoinToken,
    NewMachine,
    NewMachines,
    Page,
)
from providers.throttle import RateLimiter


class RegisterApi:
    """A client of one register.

    Every method raises `RegisterResponseError` for a response other than success, and `httpx.HTTPError` or `OSError`
    without a response or a readable token file.
    """

    def __init__(self, url: str, token_file: Path, ca_file: str | None, timeout_seconds: float) -> None:
        """Configure the client; nothing is called yet. Each call reads the token again, so that it can be rotated."""
        self._token_file = token_file
        self._http = http_client(url, ca_file, timeout_seconds)

    def _call(self, method: str, path: str, **options: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        response = self._http.request(method, path, headers=headers, **options)  # type: ignore[arg-type]
        if not response.is_success:
            raise RegisterResponseError(response)
        return response

    def _pages(self, path: str, query: dict[str, str], limiter: RateLimiter | None) -> Iterator[Page]:
        after: str | None = None
        while True:
            if limiter is not None:
                limiter.admit(query.get("region", ""))
            page = Page.model_validate_json(
                self._call("GET", path, params=query | ({"after": after} if after else {})).content
            )
            yield page
            if page.next is None:
                return
            after = page.next

    def machines(self, region: str | None = None, limiter: RateLimiter | None = None) -> list[Machine]:
        """Return the machines of a region, or all."""
        pages = self._pages("/v1/machines", {"region": region} if region else {}, limiter)
        return [machine for page in pages for machine in page.machines]

    def assignments(self, region: str, owner: str, limiter: RateLimiter) -> list[Assignment]:
        """Return an owner's assignments in a region."""
        pages = self._pages("/v1/assignments", {"region": region, "owner": owner}, limiter)
        return [assignment for page in pages for assignment in page.assignments]

    def assign(self, request: NewAssignment) -> Assignment:
        """Assign a script to a free machine; a repeated instance id returns the first assignment."""
        response = self._call("PUT", f"/v1/assignments/{request.instance_id}", json=request.model_dump(mode="json"))
        return Assignment.model_validate_json(response.content)

    def stop(self, region: str, instance_id: str) -> None:
        """Stop an assignment."""
        self._call("DELETE", f"/v1/assignments/{instance_id}", params={"region": region})

    def add_machines(self, machines: list[NewMachine]) -> tuple[Machine, ...]:
        """Add or update machines, all or none."""
        body = NewMachines(machines=tuple(machines)).model_dump(mode="json")
        return Page.model_validate_json(self._call("POST", "/v1/machines", json=body).content).machines

    def issue_join_token(self, request: NewJoinToken) -> str:
        """Return a token with which one machine can join once."""
        return str(self._call("POST", "/v1/join-tokens", json=request.model_dump(mode="json")).json()["token"])

    def update_machine(self, name: str, update: MachineUpdate) -> Machine:
        """Cordon, uncordon or drain a machine."""
        body = update.model_dump(mode="json", exclude_none=True)
        return Machine.model_validate_json(self._call("PATCH", f"/v1/machines/{name}", json=body).content)

    def remove_machine(self, name: str, *, is_gone: bool) -> None:
        """Remove a machine; with *is_gone* its assignment counts as ended."""
        self._call("DELETE", f"/v1/machines/{name}", params={"gone": "yes"} if is_gone else {})


def http_client(url: str, ca_file: str | None, timeout_seconds: float) -> httpx.Client:
    """Return a client that trusts *ca_file* alone, or the system's certificate authorities if it is None."""
    verify = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else True
    return httpx.Client(base_url=url, timeout=timeout_seconds, verify=verify, trust_env=False)
