"""The documents that a fleet is written in: one for everything, or a Fleet and Applications.

Any of them may leave out what the fleet's `defaults` give, so that fields are checked once they are merged.
"""

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema

from state.model.spec import APPLICATIONS_MAX, NAME, Application, Budget, Choice

API_VERSION: Final = "skerry/v1"
PARTIAL: Final = "Fields"
"""What the name of a model ends with whose fields may all be left out."""

ApiVersion = Annotated[Literal["skerry/v1"], Field(description="Version of the format.")]
Name = Annotated[str, Field(pattern=NAME)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _partial(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model of the same fields, each of which may be left out or null, and of no rule between fields."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kinds = get_args(info.annotation) if isinstance(info.annotation, UnionType) else (info.annotation,)
        inner = next((kind for kind in kinds if _is_model(kind)), None)
        given: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        kind = given if inner is None else _partial(inner)
        fields[name] = (kind | None, Field(default=None, description=info.description))
    return create_model(f"{model.__name__}{PARTIAL}", __base__=_Form, __doc__=model.__doc__, **fields)


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


if TYPE_CHECKING:
    ApplicationFields = BaseModel
else:
    ApplicationFields = _partial(Application)
    """The fields of an application, as far as they are given."""

DEFAULTS: Final = "What applications leave out: mappings merge field by field, lists replace, null undoes a default."
APPLICATIONS: Final = "Applications by name: lower-case letters, digits and dashes, 40 at most."


class _FleetFields(_Form):
    budget: Budget
    providers: Choice = Field(
        default=Choice(), description="Names of the providers to use; without a choice, all in the settings."
    )
    regions: Choice = Field(default=Choice(), description="Regions to use, as provider/region.")
    defaults: ApplicationFields | None = Field(default=None, description=DEFAULTS)
    applications: dict[str, ApplicationFields] = Field(
        default_factory=dict, max_length=APPLICATIONS_MAX, description=APPLICATIONS
    )


class _SingleHead(_Form):
    apiVersion: ApiVersion  # noqa: N815  the name that infrastructure documents use
    fleet: Name = Field(description="Name of the fleet.")


class SingleDocument(_FleetFields, _SingleHead):
    """A whole fleet in one document, which has no `kind`."""


class _FleetHead(_Form):
    apiVersion: ApiVersion  # noqa: N815  as above
    kind: Literal["Fleet"] = Field(description="Marks the fleet's one document of this kind.")
    name: Name = Field(description="Name of the fleet.")


class FleetDocument(_FleetFields, _FleetHead):
    """What all applications of a fleet share; documents of `kind: Application` stand beside it."""


class ApplicationHead(_Form):
    """What an Application document has beside the application's fields."""

    apiVersion: ApiVersion  # noqa: N815  as above
    kind: Literal["Application"] = Field(description="Marks a document of one application.")
    name: Name = Field(description="Name of the application, unique in the fleet.")


ApplicationDocument = create_model(
    "ApplicationDocument",
    __base__=(ApplicationFields, ApplicationHead),
    __doc__="One application of a fleet, in a document of its own.",
)
HEAD_FIELDS: Final = tuple(ApplicationHead.model_fields)


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of one document of a fleet: any of the three."""
    forms: list[type[BaseModel]] = [SingleDocument, FleetDocument, ApplicationDocument, Application]
    _, schema = models_json_schema([(form, "validation") for form in forms], ref_template="#/$defs/{model}")
    whole = {"applications": {"additionalProperties": {"$ref": "#/$defs/Application"}}}
    schema["$defs"]["SingleDocument"] |= {"if": {"not": {"required": ["defaults"]}}, "then": {"properties": whole}}
    kinds = {"Fleet": "FleetDocument", "Application": "ApplicationDocument"}
    choice: dict[str, Any] = {"$ref": "#/$defs/SingleDocument"}
    for kind, form in kinds.items():
        is_kind = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        choice = {"if": is_kind, "then": {"$ref": f"#/$defs/{form}"}, "else": choice}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Skerry capacity spec"}
    either = {"type": "object", "properties": {"kind": {"enum": sorted(kinds)}}}
    return {**head, **either, **choice, "$defs": schema["$defs"]}
