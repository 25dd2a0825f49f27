from app.simulation.trace import Trace


def test_equal_traces_have_equal_digests() -> None:
    one, other = Trace(), Trace(keep=lambda line: None)
    for trace in (one, other):
        trace.add(1.0, "n1 starts")
        trace.add(1.0, "n2 starts")

    assert one.digest == other.digest


def test_time_text_order_and_length_all_count() -> None:
    lines = [(1.0, "n1 starts"), (2.0, "n2 starts")]
    traces = [
        lines,
        lines[::-1],
        lines[:1],
        [*lines, lines[1]],
        [(1.0, "n1 starts"), (2.000001, "n2 starts")],
        [(1.0, "n1 starts"), (2.0, "n3 starts")],
    ]

    digests = set()
    for added in traces:
        trace = Trace()
        for time, text in added:
            trace.add(time, text)
        digests.add(trace.digest)
    assert len(digests) == len(traces)


def test_each_line_is_kept_as_it_comes() -> None:
    kept = list[str]()
    trace = Trace(kept.append)

    trace.add(0.5, "n1 starts")
    trace.add(12.0000004, "healed")
    assert kept == ["0.500000 n1 starts\n", "12.000000 healed\n"]
