"""A stand-in for a chat model: an ordinary Ray Serve application that knows nothing of Skerry."""

import asyncio
import os
from typing import Any

from ray import serve


@serve.deployment(max_ongoing_requests=16)
class Chat:
    """Answers after the time that a short completion takes."""

    def __init__(self, seconds: float = 0.05) -> None:
        """Answer after *seconds*."""
        self._seconds = seconds

    async def __call__(self, request: Any) -> dict[str, str]:  # noqa: ANN401  Starlette's request
        """Return a completion."""
        prompt = request.query_params.get("prompt", "hello")
        await asyncio.sleep(self._seconds)
        return {"answer": f"you said: {prompt}", "region": os.environ.get("SKERRY_REGION", "unknown")}


app = Chat.bind()  # type: ignore[attr-defined]
