"""Metrics: plain integers on the hot path, and their Prometheus text when somebody asks.

A latency falls into the bucket of the number of bits of its microseconds: bucket k holds those below 2**k µs, so
that finding it costs one int.bit_length().
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

BUCKETS = 27  # the last but one holds what is below 2**25 µs: 33 s
FIRST_SHOWN = 6  # 64 µs
_METHODS = frozenset((b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"PATCH"))
_OTHER = b"other"

Statistics = Callable[[], Mapping[str, float]]


class Latency:
    """A histogram of durations, in powers of two of a microsecond."""

    __slots__ = ("counts", "sum_seconds")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum_seconds = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound in seconds."""
        total = 0
        found: list[tuple[str, float]] = []
        for bits, count in enumerate(self.counts[:-1]):
            total += count
            if bits >= FIRST_SHOWN:
                found.append((repr((1 << bits) / 1e6), total))
        return [*found, ("+Inf", total + self.counts[-1])]


class Metrics:
    """What the gateway counts.

    requests  by method and status
    refused   requests and connections that never became a request, by code
    """

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[bytes, int], int] = defaultdict(int)
        self.latencies: defaultdict[bytes, Latency] = defaultdict(Latency)
        self.refused: defaultdict[str, int] = defaultdict(int)
        self.connections: Callable[[], int] = lambda: 0
        self.statistics: Statistics = dict
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def observe(self, method: bytes, status: int, seconds: float) -> None:
        """Count one answered request; whatever method a client makes up is one label, not many."""
        if method not in _METHODS:
            method = _OTHER
        self.requests[method, status] += 1
        latency = self.latencies[method]
        bits = int(seconds * 1e6).bit_length()
        latency.counts[bits if bits < BUCKETS else BUCKETS - 1] += 1
        latency.sum_seconds += seconds

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Collector:
    """Reads the plain integers when a scrape asks for them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        requests = CounterMetricFamily("ringkv_http_requests", "Requests answered.", labels=("method", "status"))
        for (method, status), count in sorted(metrics.requests.items()):
            requests.add_metric((method.decode(), str(status)), count)
        yield requests
        durations = HistogramMetricFamily(
            "ringkv_http_request_duration_seconds", "From the whole request to its answer.", labels=("method",)
        )
        for method, latency in sorted(metrics.latencies.items()):
            durations.add_metric((method.decode(),), latency.buckets(), latency.sum_seconds)
        yield durations
        refused = CounterMetricFamily(
            "ringkv_http_refused", "Requests and connections refused before they reached a route.", labels=("code",)
        )
        for code, count in sorted(metrics.refused.items()):
            refused.add_metric((code,), count)
        yield refused
        yield GaugeMetricFamily("ringkv_http_connections", "Open client connections.", value=metrics.connections())
        yield from _families(metrics.statistics())


def _families(statistics: Mapping[str, float]) -> Iterator[Metric]:
    for name, value in sorted(statistics.items()):
        if name.endswith("_total"):
            yield CounterMetricFamily(f"ringkv_{name.removesuffix('_total')}", _sentence(name), value=value)
        else:
            yield GaugeMetricFamily(f"ringkv_{name}", _sentence(name), value=value)


def _sentence(name: str) -> str:
    return name.removesuffix("_total").replace("_", " ").capitalize() + "."
