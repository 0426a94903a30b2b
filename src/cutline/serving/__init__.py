"""An HTTP server for captions, which existing clients already speak to.

Enters: `Settings`. Leaves: an ASGI application, or a running server. A file for each family of
interfaces; `batching` shares the cores, `gate` refuses what must not come in.
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
