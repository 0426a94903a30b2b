"""A captioner as a static web page: pictures are captioned in the browser, and stay there."""

from cutline.webapp.runtime import Runtime, download_runtime, read_runtime
from cutline.webapp.site import write_site

__all__ = ["Runtime", "download_runtime", "read_runtime", "write_site"]
