"""The embedded Azure's cloud metadata, Entra tokens, subscriptions and resource provider registrations.

Source: Azure REST reference, "Subscriptions - List"; OpenID Connect Discovery; the Resource Manager's public
`/metadata/endpoints`.
"""

import re
from typing import Any, Final

from flask import Flask, Response, jsonify, request

from providers.emulator.backend import Backend

SUBSCRIPTION: Final = "00000000-0000-0000-0000-00000000000a"
"""The only listed subscription; requests may name any other."""
NAMESPACE: Final = re.compile(r"/providers/(Microsoft\.\w+)")
TENANT: Final = "00000000-0000-0000-0000-000000000001"


def add_identity(app: Flask, backend: Backend) -> None:
    """Add the routes that clients use before they reach a resource."""
    _add_tokens(app, backend)

    @app.get("/metadata/endpoints")
    def endpoints() -> Response:
        root = request.url_root.rstrip("/")
        entra = {"loginEndpoint": root, "audiences": [root], "tenant": "common", "identityProvider": "AAD"}
        return jsonify(name="embedded", authentication=entra, resourceManager=root, suffixes={})

    @app.before_request
    def refuse_unregistered() -> Any:
        found = NAMESPACE.search(request.path)
        if found is None or found.group(1) not in backend.unregistered_namespaces or request.path.endswith("/register"):
            return None
        message = f"The subscription is not registered to use namespace '{found.group(1)}'. See the documentation."
        return jsonify(error={"code": "MissingSubscriptionRegistration", "message": message}), 409

    @app.post("/subscriptions/<subscription>/providers/<namespace>/register")
    def register(subscription: str, namespace: str) -> Response:
        name = f"/subscriptions/{subscription}/providers/{namespace}"
        return jsonify(id=name, namespace=namespace, registrationState="Registering")

    @app.get("/subscriptions")
    def subscriptions() -> Response:
        return jsonify(value=[_subscription(SUBSCRIPTION)])

    @app.get("/subscriptions/<subscription>")
    def subscription(subscription: str) -> Response:
        return jsonify(_subscription(subscription))


def _subscription(name: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{name}",
        "subscriptionId": name,
        "tenantId": TENANT,
        "displayName": "embedded",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionPolicies": {"quotaId": "embedded", "spendingLimit": "Off"},
    }


def _add_tokens(app: Flask, backend: Backend) -> None:
    @app.post("/<tenant>/oauth2/token", endpoint="token_v1")
    @app.post("/<tenant>/oauth2/v2.0/token")
    def token(tenant: str) -> Response:  # noqa: ARG001  the route's name
        backend.tokens_issued += 1
        lasting = backend.token_lifetime_s
        until = str(int(backend.clock.now().timestamp()) + lasting)
        facts = {"token_type": "Bearer", "access_token": "embedded", "expires_on": until}
        return jsonify(facts | {"expires_in": lasting, "ext_expires_in": lasting})

    @app.get("/<tenant>/v2.0/.well-known/openid-configuration")
    def openid(tenant: str) -> Response:
        root = f"{request.url_root}{tenant}"
        return jsonify(
            token_endpoint=f"{root}/oauth2/v2.0/token",
            authorization_endpoint=f"{root}/oauth2/v2.0/authorize",
            issuer=f"{root}/v2.0",
        )
