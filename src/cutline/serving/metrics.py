"""Metrics in Prometheus' text format.

The values are in memory shared by all processes of a server, so any process can report them all.
Each process adds only to its own row, without a lock that a killed process could leave locked.
"""

from copy import copy
from multiprocessing.sharedctypes import RawArray

from cutline.version import __version__

INTERFACES = ("caption", "openai", "ollama", "huggingface", "max", "page", "other")
STATUSES = ("200", "400", "401", "403", "404", "405", "408", "413", "415", "422", "500", "503")
RESULTS = ("captioned", "left_out", "failed")
SECONDS = ("0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")

_KINDS = {
    "requests_total": ("counter", "Requests by interface and status."),
    "rejections_total": ("counter", "Requests rejected before their body was read, by status."),
    "pictures_total": ("counter", "Pictures by result."),
    "queue_pictures": ("gauge", "Pictures being received, waiting or being captioned."),
    "queue_bytes": ("gauge", "Size of the requests being handled."),
    "request_seconds": ("histogram", "Duration of successful POST requests."),
}


def _keys() -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """All metrics with their labels, in the order of the output."""
    return [
        *(
            ("requests_total", (("interface", name), ("status", status)))
            for name in INTERFACES
            for status in STATUSES
        ),
        *(("rejections_total", (("status", status),)) for status in STATUSES[1:]),
        *(("pictures_total", (("result", result),)) for result in RESULTS),
        ("queue_pictures", ()),
        ("queue_bytes", ()),
        *(("request_seconds_bucket", (("le", limit),)) for limit in SECONDS),
        ("request_seconds_sum", ()),
        ("request_seconds_count", ()),
    ]


class Metrics:
    """Metrics, shared with child processes that receive this object as an argument.

    Use it only from the event loop's thread.
    """

    def __init__(self, processes: int = 1) -> None:
        self._places = {key: place for place, key in enumerate(_keys())}
        self._values = RawArray("d", processes * len(self._places))
        self._start = 0

    def of(self, process: int) -> "Metrics":
        """The same metrics, for the process of this number to add to; resets its gauges.

        Counters go on from where its predecessor left them.
        """
        own = copy(self)
        own._start = process * len(self._places)
        for (name, _), place in self._places.items():
            if _KINDS.get(name, ("",))[0] == "gauge":
                self._values[own._start + place] = 0
        return own

    def add(self, name: str, amount: float, **labels: str) -> None:
        """Add to a metric; unknown labels are ignored."""
        place = self._places.get((name, tuple(labels.items())))
        if place is not None:
            self._values[self._start + place] += amount

    def observe(self, seconds: float) -> None:
        """Record the duration of a request."""
        limit = next(limit for limit in SECONDS if seconds <= float(limit))
        self.add("request_seconds_bucket", 1, le=limit)
        self.add("request_seconds_sum", seconds)
        self.add("request_seconds_count", 1)

    def as_text(self) -> str:
        """The metrics in Prometheus' text format, version 0.0.4."""
        lines = ["# TYPE cutline_info gauge", f'cutline_info{{version="{__version__}"}} 1']
        described, cumulative = set[str](), 0.0
        for (name, labels), place in self._places.items():
            family = name
            for suffix in ("_bucket", "_sum", "_count"):
                family = family.removesuffix(suffix)
            kind, text = _KINDS[family]
            if family not in described:
                described.add(family)
                lines += [f"# HELP cutline_{family} {text}", f"# TYPE cutline_{family} {kind}"]
            value = sum(self._values[place :: len(self._places)])
            if name == "request_seconds_bucket":  # buckets are cumulative in this format
                value = cumulative = cumulative + value
            shown = ",".join(f'{label}="{value}"' for label, value in labels)
            lines.append(f"cutline_{name}{f'{{{shown}}}' if shown else ''} {value:.12g}")
        return "\n".join(lines) + "\n"
