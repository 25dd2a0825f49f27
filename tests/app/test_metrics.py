"""Metrics: what is counted, and its text."""

from app.metrics import Metrics, cumulate


def lines(metrics: Metrics) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]


def test_requests_are_counted_by_method_and_status() -> None:
    metrics = Metrics()

    metrics.observe(b"GET", 200, 0.001)
    metrics.observe(b"GET", 200, 0.002)
    metrics.observe(b"GET", 404, 0.001)

    assert 'ringkv_http_requests_total{method="GET",status="200"} 2.0' in lines(metrics)
    assert 'ringkv_http_requests_total{method="GET",status="404"} 1.0' in lines(metrics)
    assert 'ringkv_http_request_duration_seconds_count{method="GET"} 3.0' in lines(metrics)


def test_made_up_methods_are_one_label() -> None:
    metrics = Metrics()

    for number in range(100):
        metrics.observe(b"M%d" % number, 405, 0.0)

    assert 'ringkv_http_requests_total{method="other",status="405"} 100.0' in lines(metrics)
    assert len(metrics.tallies()) == 1


def test_a_bucket_holds_what_is_below_its_bound() -> None:
    metrics = Metrics()
    for seconds in (0.0, 63e-6, 65e-6, 0.0005, 1.0, 1000.0):
        metrics.observe(b"PUT", 204, seconds)

    buckets = dict(cumulate(metrics.tallies()["PUT", 204].buckets))

    assert buckets["6.4e-05"] == 2
    assert buckets["0.000128"] == 3
    assert buckets["0.000512"] == 4
    assert buckets["1.048576"] == 5
    assert buckets["+Inf"] == 6
    assert list(buckets.values()) == sorted(buckets.values())


def test_the_node_s_own_statistics_are_shown() -> None:
    metrics = Metrics()
    metrics.statistics = lambda: {"writes_total": 3, "partitions_led": 2}
    metrics.connections = lambda: 4
    metrics.refused["TOO_SLOW"] = 5

    shown = lines(metrics)

    assert "ringkv_writes_total 3.0" in shown
    assert "ringkv_partitions_led 2.0" in shown
    assert "ringkv_http_connections 4.0" in shown
    assert 'ringkv_http_refused_total{code="TOO_SLOW"} 5.0' in shown
    assert any(line.startswith("process_resident_memory_bytes ") for line in shown)
