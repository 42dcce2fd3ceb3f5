"""The hook that `ray start` calls through RAY_START_HOOK on the embedded clouds; it saves one process per head.

The Ray Client server listens on one fixed port, which several heads on one computer cannot share; Skerry uses Ray's
REST API alone. Ray refuses 0 as a port, so the hook removes the parameter itself.
"""

from typing import Any


def without_client_server(ray_params: Any, _is_head: bool) -> None:  # noqa: FBT001  Ray's own signature
    """Remove the Ray Client server from the processes that Ray starts."""
    ray_params.ray_client_server_port = None
