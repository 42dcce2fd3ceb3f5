"""The few calls of Azure's Resource Manager that we use, typed.

SDK retries are off: they would hide throttling, and repeat PUT and DELETE. The polling interval is a second,
not the default thirty.
"""

import re
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.mgmt.resourcehealth import ResourceHealthMgmtClient

from providers.azure.settings import AzureSettings
from providers.throttle import RateLimiter

EVERYWHERE: Final = "azure"
MANAGEMENT: Final = "https://management.azure.com"
PERMISSIONS_VERSION: Final = "2022-04-01"
RETAIL_VERSION: Final = "2023-01-01-preview"
MACHINE: Final = re.compile(r"/virtualMachines/([^/]+)/", re.IGNORECASE)
LOCATION: Final = re.compile(r"/locations/([a-z0-9]+)|location%20eq%20'([a-z0-9]+)'")


class _Paced(SansIOHTTPPolicy[Any, Any]):
    """Admits every request of the client through the rate limiter."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    def on_request(self, request: Any) -> None:  # noqa: ANN401  the SDK's own
        """Wait until the request may go."""
        method, url = request.http_request.method, request.http_request.url
        found = LOCATION.search(url)
        where = (found.group(1) or found.group(2)) if found else EVERYWHERE
        self._limiter.admit(where, is_write=method in {"PUT", "DELETE"})


class _NothingRegistered(SansIOHTTPPolicy[Any, Any]):
    """Raises where the subscription is not registered for a service.

    Else another policy of the SDK's registers it, waits for that without end, and sends the request again.
    """

    def on_response(self, request: Any, response: Any) -> None:  # noqa: ANN401  the SDK's own
        """Check a response before that policy does."""
        del request
        if response.http_response.status_code == HTTPStatus.CONFLICT:
            error = HttpResponseError(response=response.http_response, error_format=ARMErrorFormat)
            if error.error is not None and error.error.code == "MissingSubscriptionRegistration":
                raise error


class AzureApi:
    """One subscription's compute, in one resource group."""

    def __init__(self, settings: AzureSettings, limiter: RateLimiter) -> None:
        """Make the client; nothing is called yet."""
        common: dict[str, Any] = {"connection_timeout": min(3.0, settings.timeout_seconds), "retry_total": 0}
        common["read_timeout"] = settings.timeout_seconds
        credential_options: dict[str, Any] = {}
        if settings.endpoint is not None:
            common |= {"base_url": settings.endpoint, "credential_scopes": [f"{settings.endpoint}/.default"]}
            credential_options = {"authority": settings.endpoint, "disable_instance_discovery": True}
        if settings.ca_file is not None:
            common["connection_verify"] = credential_options["connection_verify"] = settings.ca_file
        common |= {"per_call_policies": [_Paced(limiter)], "per_retry_policies": [_NothingRegistered()]}
        credential = DefaultAzureCredential(**credential_options)
        self._credential, self._endpoint = credential, settings.endpoint or MANAGEMENT
        self._subscription = settings.subscription_id
        self._client: Any = ComputeManagementClient(credential, settings.subscription_id, polling_interval=1, **common)
        self._health: Any = ResourceHealthMgmtClient(credential, settings.subscription_id, **common)
        self._limiter = limiter
        self._prices_url = settings.prices_url
        verify: bool | ssl.SSLContext = True
        if settings.ca_file is not None:
            verify = ssl.create_default_context(cafile=settings.ca_file)
        self._http = httpx.Client(timeout=settings.timeout_seconds, verify=verify)
        self._group = settings.resource_group
        self._patience = settings.timeout_seconds

    def permissions(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield (actions, not actions) of the credentials' roles in the resource group; each may have wildcards."""
        token = self._credential.get_token(f"{self._endpoint}/.default").token
        group = f"/subscriptions/{self._subscription}/resourceGroups/{self._group}"
        url: str | None = f"{self._endpoint}{group}/providers/Microsoft.Authorization/permissions"
        headers, query = {"Authorization": f"Bearer {token}"}, {"api-version": PERMISSIONS_VERSION}
        while url is not None:
            self._limiter.admit(EVERYWHERE)
            answer = self._http.get(url, headers=headers, params=query).raise_for_status().json()
            yield from ((item["actions"], item.get("notActions", [])) for item in answer["value"])
            url, query = answer.get("nextLink"), {}

    def skus(self, location: str) -> Iterator[Any]:
        """Yield the VM sizes of a location."""
        for sku in self._client.resource_skus.list(filter=f"location eq '{location}'"):
            if sku.resource_type == "virtualMachines":
                yield sku

    def usages(self, location: str) -> Iterator[tuple[str, int, int]]:
        """Yield (quota, limit, used) of a location."""
        for usage in self._client.usage.list(location):
            yield usage.name.value, usage.limit, usage.current_value

    def reservations(self, location: str) -> Iterator[tuple[str, Any]]:
        """Yield (its group's id, capacity reservation) of a location."""
        for group in self._client.capacity_reservation_groups.list_by_subscription():
            if group.location == location:
                owner = group.id.split("/")[4]
                for found in self._client.capacity_reservations.list_by_capacity_reservation_group(owner, group.name):
                    yield group.id, found

    def spot_prices(self, location: str) -> Iterator[tuple[str, float]]:
        """Yield (size, US dollars per hour) of spot machines with Linux, from the public retail price API."""
        condition = (
            f"serviceName eq 'Virtual Machines' and armRegionName eq '{location}' and priceType eq 'Consumption'"
        )
        url: str | None = f"{self._prices_url}?{urlencode({'api-version': RETAIL_VERSION, '$filter': condition})}"
        while url is not None:
            self._limiter.admit(location)
            answer = self._http.get(url).raise_for_status().json()
            for item in answer["Items"]:
                if item["skuName"].endswith(" Spot") and not item["productName"].endswith("Windows"):
                    yield item["armSkuName"], float(item["retailPrice"])
            url = answer.get("NextPageLink")

    def machines(self, location: str) -> Iterator[Any]:
        """Yield the VMs of a location, in every resource group."""
        yield from self._client.virtual_machines.list_by_location(location)

    def statuses(self) -> Iterator[Any]:
        """Yield the VMs of the subscription with their run-time status."""
        yield from self._client.virtual_machines.list_all(status_only="true")

    def conditions(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, Resource Health status) of the VMs of the resource group."""
        for status in self._health.availability_statuses.list_by_resource_group(self._group):
            found = MACHINE.search(status.id or "")
            if found is not None and status.properties is not None:
                yield found.group(1).lower(), status.properties

    def create(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401  the SDK's model
        """Create a VM that must not exist yet; wait for the outcome no longer than the call timeout.

        Returns:
            The VM, or None where its creation still runs.
        """
        poller = self._client.virtual_machines.begin_create_or_update(
            self._group, name, body, etag="*", match_condition=MatchConditions.IfMissing
        )
        poller.wait(self._patience)
        return poller.result() if poller.done() else None

    def get(self, name: str) -> Any:  # noqa: ANN401  the SDK's model
        """Return one VM with its run-time status."""
        return self._client.virtual_machines.get(self._group, name, expand="instanceView")

    def delete(self, name: str) -> None:
        """Request the end of a VM, and of the disk and network interface that were made with it."""
        self._client.virtual_machines.begin_delete(self._group, name, polling=False)
