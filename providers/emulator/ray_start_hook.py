"""What `ray start` calls through RAY_START_HOOK on the embedded clouds: saves one process per head.

The Ray Client server listens on a fixed port, of which many heads on one computer would each want one;
Skerry uses Ray's REST API alone. Zero is refused as a port, so the parameter itself is removed.
"""

from typing import Any


def without_client_server(ray_params: Any, _is_head: bool) -> None:  # noqa: FBT001  Ray's own signature
    """Take the Ray Client server out of what is started."""
    ray_params.ray_client_server_port = None
