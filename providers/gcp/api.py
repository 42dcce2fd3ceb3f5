"""The few calls of Compute Engine that we use, typed.

Waiting is done on our own operations client: the one inside `insert()` polls the public endpoint, whatever
endpoint the settings name. The default retry of reads is off, since it goes on for ten minutes whatever the timeout.
"""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import google.auth
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import DeadlineExceeded, from_http_response
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import compute_v1

from providers.gcp.billing import COMPUTE, FIELDS
from providers.gcp.settings import GcpSettings
from providers.throttle import RateLimiter

PAGE: Final = 500
DONE: Final = compute_v1.Operation.Status.DONE
WAITS_MAX: Final = 3
"""How often an operation is waited for; each call returns once it is done, or after the cloud's own time limit."""
SKUS_PAGE: Final = 5000
"""Most SKUs in a page of the billing catalogue."""
UNREACHABLE: Final = "UNREACHABLE"
RESOURCES: Final = "https://cloudresourcemanager.googleapis.com"
BILLING: Final = "https://cloudbilling.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
PROJECT: Final = re.compile(r"projects/([^/]+)/")
REGION: Final = re.compile(r"/regions/([^/]+)/")
EVERYWHERE: Final = "gcp"
"""What lists of every zone count against: they are one call."""


class GcpApi:
    """One project's Compute Engine."""

    def __init__(self, settings: GcpSettings, limiter: RateLimiter) -> None:
        """Keep the settings; clients are made at their first use, since each looks for credentials at once."""
        self._project, self._limiter = settings.project, limiter
        self._call: dict[str, Any] = {"retry": None, "timeout": settings.timeout_seconds}
        self._endpoint = settings.endpoint
        self._lock, self._clients = threading.Lock(), dict[type, Any]()
        self._resources = settings.endpoint or RESOURCES
        self._billing = settings.endpoint or BILLING

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401  the SDK's
        """Return a session with the application default credentials; made when it is first needed."""
        credentials: Any = (
            AnonymousCredentials() if self._endpoint is not None else google.auth.default(scopes=[SCOPE])[0]
        )
        return AuthorizedSession(credentials)

    def _client(self, kind: type) -> Any:  # noqa: ANN401  the SDK's
        """Return the client of a kind.

        Raises:
            google.auth.exceptions.GoogleAuthError: There are no credentials.
        """
        with self._lock:
            if kind not in self._clients:
                options: dict[str, Any] = {}
                if self._endpoint is not None:
                    anonymous: Any = AnonymousCredentials()
                    options = {"client_options": ClientOptions(api_endpoint=self._endpoint), "credentials": anonymous}
                self._clients[kind] = kind(**options)
            return self._clients[kind]

    def _pages(self, listing: Callable[..., Any], request: Any) -> Iterator[Any]:  # noqa: ANN401  the SDK's
        """Yield the pages of a list, each admitted by the rate limiter."""
        self._limiter.admit(EVERYWHERE)
        for page in listing(request=request, **self._call).pages:
            yield page
            if page.next_page_token:
                self._limiter.admit(EVERYWHERE)

    def _zones(self, listing: Callable[..., Any], request: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  the SDK's
        """Yield (zone, what is listed of it) of an aggregated list."""
        for page in self._pages(listing, request):
            for scope, listed in page.items.items():
                yield scope.rpartition("/")[2], listed

    def machine_types(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield (zone, its machine types, whether it answered)."""
        request = compute_v1.AggregatedListMachineTypesRequest(project=self._project, max_results=PAGE)
        for zone, listed in self._zones(self._client(compute_v1.MachineTypesClient).aggregated_list, request):
            yield zone, listed.machine_types, listed.warning.code != UNREACHABLE

    def accelerator_types(self) -> Iterator[tuple[str, str]]:
        """Yield (zone, accelerator type) of everything that the project may attach or get with a machine type."""
        request = compute_v1.AggregatedListAcceleratorTypesRequest(project=self._project, max_results=PAGE)
        for zone, listed in self._zones(self._client(compute_v1.AcceleratorTypesClient).aggregated_list, request):
            for accelerator in listed.accelerator_types:
                yield zone, accelerator.name

    def subnetwork_regions(self, network: str) -> set[str]:
        """Return the regions in which a network has a subnetwork; the network may be another project's."""
        project = PROJECT.search(network)
        self._limiter.admit(EVERYWHERE)
        found = self._client(compute_v1.NetworksClient).get(
            project=project.group(1) if project else self._project, network=network.rpartition("/")[2], **self._call
        )
        return {region.group(1) for url in found.subnetworks if (region := REGION.search(url))}

    def instances(self, label: str, value: str) -> Iterator[tuple[str, Any, bool]]:
        """Yield (zone, its instances with a label, whether it answered)."""
        request = compute_v1.AggregatedListInstancesRequest(
            project=self._project, filter=f'labels.{label} = "{value}"', max_results=PAGE
        )
        for zone, listed in self._zones(self._client(compute_v1.InstancesClient).aggregated_list, request):
            yield zone, listed.instances, listed.warning.code != UNREACHABLE

    def reservations(self) -> Iterator[tuple[str, Any]]:
        """Yield (zone, reservation) of everything that is reserved."""
        request = compute_v1.AggregatedListReservationsRequest(project=self._project, max_results=PAGE)
        for zone, listed in self._zones(self._client(compute_v1.ReservationsClient).aggregated_list, request):
            for reservation in listed.reservations:
                yield zone, reservation

    def future_reservations(self) -> Iterator[tuple[str, Any]]:
        """Yield (zone, future reservation); once its time has come Compute Engine makes a reservation of it."""
        request = compute_v1.AggregatedListFutureReservationsRequest(project=self._project, max_results=PAGE)
        for zone, listed in self._zones(self._client(compute_v1.FutureReservationsClient).aggregated_list, request):
            for reservation in listed.future_reservations:
                yield zone, reservation

    def region_quotas(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield (region, metric, limit, usage)."""
        request = compute_v1.ListRegionsRequest(project=self._project)
        for page in self._pages(self._client(compute_v1.RegionsClient).list, request):
            for region in page.items:
                for quota in region.quotas:
                    yield region.name, quota.metric, quota.limit, quota.usage

    def project_quotas(self) -> Iterator[tuple[str, float, float]]:
        """Yield (metric, limit, usage) of the quotas that count every region."""
        self._limiter.admit(EVERYWHERE)
        for quota in self._client(compute_v1.ProjectsClient).get(project=self._project, **self._call).quotas:
            yield quota.metric, quota.limit, quota.usage

    def operations(self, kinds: tuple[str, ...], since: datetime) -> Iterator[tuple[str, Any]]:
        """Yield (zone, operation) of the operations of some types that began after *since* and are done."""
        wanted = " OR ".join(f'(operationType = "{kind}")' for kind in kinds)
        request = compute_v1.AggregatedListGlobalOperationsRequest(
            project=self._project, filter=f'({wanted}) AND (insertTime > "{since.isoformat()}")', max_results=PAGE
        )
        for zone, listed in self._zones(self._client(compute_v1.GlobalOperationsClient).aggregated_list, request):
            for operation in listed.operations:
                if operation.status == DONE:
                    yield zone, operation

    def _json(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401  whatever the API answers
        """Return the answer of one of Google's other APIs."""
        self._limiter.admit(EVERYWHERE)
        answer = self._session.request(method, url, timeout=self._call["timeout"], **options)
        if not answer.ok:
            raise from_http_response(answer)
        return answer.json()

    def skus(self) -> Iterator[dict[str, Any]]:
        """Yield Compute Engine's SKUs in the billing catalogue, as far as prices need them.

        Read as JSON with a field mask: some ten thousand SKUs as protobuf messages would be slow.
        """
        url, query = f"{self._billing}/v1/{COMPUTE}/skus", {"pageSize": str(SKUS_PAGE), "fields": FIELDS}
        while True:
            page = self._json("GET", url, params=query)
            yield from page.get("skus", [])
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def missing(self, permissions: tuple[str, ...]) -> list[str]:
        """Return which of some permissions the credentials do not have on the project."""
        url = f"{self._resources}/v1/projects/{self._project}:testIamPermissions"
        granted = set(self._json("POST", url, json={"permissions": list(permissions)}).get("permissions", []))
        return [permission for permission in permissions if permission not in granted]

    def insert(self, zone: str, body: dict[str, Any]) -> tuple[str, str, int | None] | None:
        """Start one instance, and return (code, message, HTTP status) of the operation's error; None: success.

        The request id is derived from the name and the labels: the same request runs once, and another installation's
        differs.
        """
        request = compute_v1.InsertInstanceRequest(
            project=self._project,
            zone=zone,
            instance_resource=compute_v1.Instance(body),
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join([*sorted(body["labels"].values()), body["name"]]))),
        )
        self._limiter.admit(zone.rpartition("-")[0], is_write=True)
        operation = self._client(compute_v1.InstancesClient).insert_unary(request=request, **self._call)
        for _ in range(WAITS_MAX):
            if operation.status == DONE:
                break
            operation = self._client(compute_v1.ZoneOperationsClient).wait(
                project=self._project, zone=zone, operation=operation.name, **self._call
            )
        if operation.status != DONE:
            # A stock-out shows only at its end. The same request, sent again, returns the same operation.
            msg = f"{operation.name} still runs"
            raise DeadlineExceeded(msg)
        errors = list(operation.error.errors)
        return (errors[0].code, errors[0].message, operation.http_error_status_code or None) if errors else None

    def get(self, zone: str, name: str) -> Any:  # noqa: ANN401  the SDK's message
        """Return one instance."""
        return self._client(compute_v1.InstancesClient).get(
            project=self._project, zone=zone, instance=name, **self._call
        )

    def delete(self, zone: str, name: str) -> None:
        """Request the end of an instance."""
        self._limiter.admit(zone.rpartition("-")[0], is_write=True)
        self._client(compute_v1.InstancesClient).delete_unary(
            project=self._project, zone=zone, instance=name, **self._call
        )
