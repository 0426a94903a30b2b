"""An HTTP server for captions that works with existing clients.

Takes `Settings`; returns an ASGI application, or runs a server. Each API has a file of its own;
`batching` shares the cores among requests, and `gate` rejects requests before reading them.
"""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.serving.app import create_app as create_app
    from cutline.serving.server import serve as serve
    from cutline.serving.settings import Settings as Settings

__all__ = ["Settings", "create_app", "serve"]
_HOMES = {"Settings": "settings", "create_app": "app", "serve": "server"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
