"""The few calls of Compute Engine that we use, typed.

Waiting is done on our own operations client: the one inside `insert()` polls the public endpoint whatever
the settings say. The default retry of reads is off, since it goes on for ten minutes whatever the timeout.
"""

import uuid
from collections.abc import Iterator
from typing import Any, Final

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1

from providers.settings import GcpSettings

PAGE: Final = 500
UNREACHABLE: Final = "UNREACHABLE"


class GcpApi:
    """One project's Compute Engine."""

    def __init__(self, settings: GcpSettings) -> None:
        """Make clients; nothing is called yet."""
        options: dict[str, Any] = {}
        if settings.endpoint is not None:
            anonymous: Any = AnonymousCredentials()
            options = {"client_options": ClientOptions(api_endpoint=settings.endpoint), "credentials": anonymous}
        self._project = settings.project
        self._call: dict[str, Any] = {"retry": None, "timeout": settings.timeout_seconds}
        self._instances = compute_v1.InstancesClient(**options)
        self._operations = compute_v1.ZoneOperationsClient(**options)
        self._accelerators = compute_v1.AcceleratorTypesClient(**options)
        self._types = compute_v1.MachineTypesClient(**options)
        self._regions = compute_v1.RegionsClient(**options)

    def machine_types(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield (zone, its machine types, whether it answered)."""
        request = compute_v1.AggregatedListMachineTypesRequest(project=self._project, max_results=PAGE)
        for scope, listed in self._types.aggregated_list(request=request, **self._call):
            yield scope.rpartition("/")[2], listed.machine_types, listed.warning.code != UNREACHABLE

    def accelerator_types(self) -> Iterator[tuple[str, str]]:
        """Yield (zone, accelerator type) of everything that the project may attach or get with a machine type."""
        request = compute_v1.AggregatedListAcceleratorTypesRequest(project=self._project, max_results=PAGE)
        for scope, listed in self._accelerators.aggregated_list(request=request, **self._call):
            for accelerator in listed.accelerator_types:
                yield scope.rpartition("/")[2], accelerator.name

    def instances(self, label: str, value: str) -> Iterator[tuple[str, Any, bool]]:
        """Yield (zone, its instances with a label, whether it answered)."""
        request = compute_v1.AggregatedListInstancesRequest(
            project=self._project, filter=f'labels.{label} = "{value}"', max_results=PAGE
        )
        for scope, listed in self._instances.aggregated_list(request=request, **self._call):
            yield scope.rpartition("/")[2], listed.instances, listed.warning.code != UNREACHABLE

    def region_quotas(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield (region, metric, limit, usage)."""
        request = compute_v1.ListRegionsRequest(project=self._project)
        for region in self._regions.list(request=request, **self._call):
            for quota in region.quotas:
                yield region.name, quota.metric, quota.limit, quota.usage

    def insert(self, zone: str, body: dict[str, Any]) -> tuple[str, str] | None:
        """Start one instance, and return the (code, message) of the operation's error; None: it goes well so far.

        The request id is derived from the name, so that the same request is done once.
        """
        request = compute_v1.InsertInstanceRequest(
            project=self._project,
            zone=zone,
            instance_resource=compute_v1.Instance(body),
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, body["name"])),
        )
        operation = self._instances.insert_unary(request=request, **self._call)
        if operation.status != compute_v1.Operation.Status.DONE:
            operation = self._operations.wait(project=self._project, zone=zone, operation=operation.name, **self._call)
        errors = list(operation.error.errors)
        return (errors[0].code, errors[0].message) if errors else None

    def get(self, zone: str, name: str) -> Any:  # noqa: ANN401  the SDK's message
        """Return one instance."""
        return self._instances.get(project=self._project, zone=zone, instance=name, **self._call)

    def delete(self, zone: str, name: str) -> None:
        """Ask for the end of an instance."""
        self._instances.delete_unary(project=self._project, zone=zone, instance=name, **self._call)
