"""Metrics: plain integers on the hot path, and their Prometheus text when somebody asks.

A latency falls into the bucket of the number of bits of its microseconds: bucket k holds those below 2**k µs, so
that finding it costs one int.bit_length().
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

BUCKETS = 27  # the last but one holds what is below 2**25 µs: 33 s
FIRST_SHOWN = 6  # 64 µs
_METHODS = frozenset((b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"PATCH"))
_OTHER = b"other"

Statistics = Callable[[], Mapping[str, float]]


class Tally:
    """The requests of one method that got one status, by how long they took."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.seconds = 0.0


class Metrics:
    """What the gateway counts.

    refused  requests and connections that were refused before they reached a route, by code
    """

    def __init__(self) -> None:
        self.refused: defaultdict[str, int] = defaultdict(int)
        self.connections: Callable[[], int] = lambda: 0
        self.statistics: Statistics = dict
        self.clock_offsets: Statistics = dict
        self._tallies: dict[tuple[bytes, int], Tally] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def observe(self, method: bytes, status: int, seconds: float) -> None:
        """Count one answered request."""
        tally = self._tallies.get((method, status)) or self._tally(method, status)
        tally.seconds += seconds
        bits = int(seconds * 1e6).bit_length()
        tally.buckets[bits if bits < BUCKETS else -1] += 1

    def count(self, method: bytes, status: int) -> int:
        """How many requests of `method` have been answered with `status`."""
        tally = self._tallies.get((method, status))
        return sum(tally.buckets) if tally is not None else 0

    def tallies(self) -> dict[tuple[str, int], Tally]:
        """By method and status."""
        return {(method.decode(), status): tally for (method, status), tally in sorted(self._tallies.items())}

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _tally(self, method: bytes, status: int) -> Tally:
        """The tally to count in; whatever methods clients make up share one."""
        return self._tallies.setdefault((method if method in _METHODS else _OTHER, status), Tally())


class _Collector:
    """Reads the plain integers when a scrape asks for them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        requests = CounterMetricFamily("ringkv_http_requests", "Requests answered.", labels=("method", "status"))
        durations = HistogramMetricFamily(
            "ringkv_http_request_duration_seconds", "From the whole request to its answer.", labels=("method",)
        )
        by_method: defaultdict[str, Tally] = defaultdict(Tally)
        for (method, status), tally in metrics.tallies().items():
            requests.add_metric((method, str(status)), sum(tally.buckets))
            total = by_method[method]
            total.seconds += tally.seconds
            total.buckets = list(map(sum, zip(total.buckets, tally.buckets, strict=True)))
        for method, total in by_method.items():
            durations.add_metric((method,), cumulate(total.buckets), total.seconds)
        yield requests
        yield durations
        refused = CounterMetricFamily(
            "ringkv_http_refused", "Requests and connections refused before they reached a route.", labels=("code",)
        )
        for code, count in sorted(metrics.refused.items()):
            refused.add_metric((code,), count)
        yield refused
        yield GaugeMetricFamily("ringkv_http_connections", "Open client connections.", value=metrics.connections())
        clocks = GaugeMetricFamily(
            "ringkv_clock_offset_seconds", "By how much a peer's clock is ahead of this node's.", labels=("peer",)
        )
        for peer, seconds in sorted(metrics.clock_offsets().items()):
            clocks.add_metric((peer,), seconds)
        yield clocks
        yield from _families(metrics.statistics())


def cumulate(buckets: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound in seconds."""
    sums = list(itertools.accumulate(buckets))
    bounds = [(repr((1 << bits) / 1e6), float(sums[bits])) for bits in range(FIRST_SHOWN, BUCKETS - 1)]
    return [*bounds, ("+Inf", float(sums[-1]))]


def _families(statistics: Mapping[str, float]) -> Iterator[Metric]:
    for name, value in sorted(statistics.items()):
        if name.endswith("_total"):
            yield CounterMetricFamily(f"ringkv_{name.removesuffix('_total')}", _sentence(name), value=value)
        else:
            yield GaugeMetricFamily(f"ringkv_{name}", _sentence(name), value=value)


def _sentence(name: str) -> str:
    return name.removesuffix("_total").replace("_", " ").capitalize() + "."
