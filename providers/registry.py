"""The clouds there are: one line each. Settings and facts alone; no SDK is imported before a provider is built."""

from collections.abc import Mapping
from typing import Final, get_args

from providers.aws.settings import AwsSettings
from providers.azure.settings import AzureSettings
from providers.gcp.settings import GcpSettings
from providers.settings import CloudSettings, SettingsModel
from providers.static.settings import StaticSettings
from state.model.ids import ProviderName


class ProvidersSettings(SettingsModel):
    """Which clouds are used, by provider name; one that is left out is not."""

    aws: AwsSettings | None = None
    gcp: GcpSettings | None = None
    azure: AzureSettings | None = None
    static: StaticSettings | None = None

    @property
    def used(self) -> tuple[CloudSettings, ...]:
        """The settings of the clouds that are used, in the order of their fields."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return tuple(one for one in found if one is not None)


CLOUDS: Final[Mapping[ProviderName, type[CloudSettings]]] = {
    ProviderName(name): get_args(field.annotation)[0] for name, field in ProvidersSettings.model_fields.items()
}
"""Every cloud's type of settings, by provider name."""
