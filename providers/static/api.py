"""The few calls to a register, typed: the provider's and the operators'."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

from providers.static.errors import Answered
from providers.static.wire import Assignment, Listing, Machine, Marks, NewJoinToken, NewMachine, NewOrder, Page
from providers.throttle import RateLimiter


class RegisterApi:
    """One register."""

    def __init__(self, url: str, token_file: Path, ca_file: str | None, timeout_seconds: float) -> None:
        """Prepare; nothing is called yet. The token is read at each call, so that it may be renewed."""
        self._token_file = token_file
        verify = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else True
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, verify=verify, trust_env=False)

    def _call(self, method: str, path: str, **said: object) -> httpx.Response:
        """Call, and return what is answered.

        Raises:
            Answered: It was no success.
            httpx.HTTPError, OSError: There was no answer, or no token to show.
        """
        headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        response = self._http.request(method, path, headers=headers, **said)  # type: ignore[arg-type]
        if not response.is_success:
            raise Answered(response)
        return response

    def _pages(self, path: str, asked: dict[str, str], limiter: RateLimiter | None) -> Iterator[Page]:
        after: str | None = None
        while True:
            if limiter is not None:
                limiter.admit(asked.get("region", ""))
            page = Page.model_validate_json(
                self._call("GET", path, params=asked | ({"after": after} if after else {})).content
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
        """Return an owner's orders in a region."""
        pages = self._pages("/v1/orders", {"region": region, "owner": owner}, limiter)
        return [assignment for page in pages for assignment in page.assignments]

    def assignment(self, assignment: NewOrder) -> Assignment:
        """Give something to a machine that is free."""
        answer = self._call("PUT", f"/v1/orders/{assignment.instance_id}", json=assignment.model_dump(mode="json"))
        return Assignment.model_validate_json(answer.content)

    def stop(self, region: str, instance_id: str) -> None:
        """Let an order end."""
        self._call("DELETE", f"/v1/orders/{instance_id}", params={"region": region})

    def list_machines(self, machines: list[NewMachine]) -> tuple[Machine, ...]:
        """Take machines into the register."""
        listing = Listing(machines=tuple(machines))
        return Page.model_validate_json(
            self._call("POST", "/v1/machines", json=listing.model_dump(mode="json")).content
        ).machines

    def draw_join_token(self, wish: NewJoinToken) -> str:
        """Return a token to join with, once."""
        return str(self._call("POST", "/v1/tickets", json=wish.model_dump(mode="json")).json()["token"])

    def mark(self, name: str, marks: Marks) -> Machine:
        """Cordon, uncordon or drain a machine."""
        answer = self._call("PATCH", f"/v1/machines/{name}", json=marks.model_dump(mode="json", exclude_none=True))
        return Machine.model_validate_json(answer.content)

    def remove(self, name: str, *, is_gone: bool) -> None:
        """Forget a machine."""
        self._call("DELETE", f"/v1/machines/{name}", params={"gone": "yes"} if is_gone else {})
