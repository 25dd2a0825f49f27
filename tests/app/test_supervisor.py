from pathlib import Path

import pytest

from app.client import Response
from app.supervisor import Member, SupervisorError, Wish, prepare, reason_in


def ports(data: Path, wish: Wish) -> list[tuple[int, int]]:
    return [(member.http_port, member.peer_port) for member in prepare(data, wish).members]


def test_a_first_start_takes_the_usual_ports(tmp_path: Path) -> None:
    plan = prepare(tmp_path, Wish())

    assert plan.members == (Member("n1", 8001, 9001), Member("n2", 8002, 9002), Member("n3", 8003, 9003))
    assert plan.partitions == 16
    assert plan.seeds == "n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003"


def test_a_later_start_is_as_the_one_before(tmp_path: Path) -> None:
    first = prepare(tmp_path, Wish(nodes=5, http_port=7001, peer_port=0, partitions=8))
    secret = (tmp_path / "secret").read_text()

    assert prepare(tmp_path, Wish()) == first
    assert prepare(tmp_path, Wish(peer_port=0)) == first
    assert (tmp_path / "secret").read_text() == secret


def test_free_ports_are_all_different(tmp_path: Path) -> None:
    chosen = [port for pair in ports(tmp_path, Wish(nodes=20, http_port=0, peer_port=0)) for port in pair]

    assert len(set(chosen)) == 40


def test_http_ports_may_change(tmp_path: Path) -> None:
    prepare(tmp_path, Wish(nodes=2))

    assert ports(tmp_path, Wish(http_port=7001)) == [(7001, 9001), (7002, 9002)]


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(nodes=4), "was made with --nodes 3, not 4; give another --data for that"),
        (Wish(partitions=32), "was made with --partitions 16, not 32; give another --data for that"),
        (Wish(peer_port=9101), "was made with --peer-port 9001, not 9101; give another --data for that"),
        (Wish(http_port=9000), "overlap"),
        (Wish(http_port=65534), "65535 is the last"),
    ],
)
def test_a_wish_that_cannot_be_granted_changes_nothing(tmp_path: Path, wish: Wish, reason: str) -> None:
    first = prepare(tmp_path, Wish())

    with pytest.raises(SupervisorError, match=reason):
        prepare(tmp_path, wish)

    assert prepare(tmp_path, Wish()) == first


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"partitions": 1, "members": []}', '{"partitions": 16, "members": [{}]}', "\ud800"]
)
def test_a_damaged_plan_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(SupervisorError, match="is damaged"):
        prepare(tmp_path, Wish())


def test_the_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path, Wish())

    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "secret").read_text().strip()) == 64


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("connection refused", "connection refused"),
        (Response(503, {}, b'{"reasons": ["this", "that", "more"]}'), "this, and 2 more reasons"),
        (Response(503, {}, b'{"reasons": ["this"]}'), "this"),
        (Response(503, {}, b'{"reasons": []}'), "it answers with status 503"),
        (Response(404, {}, b"<html>"), "it answers with status 404"),
    ],
)
def test_why_a_node_is_not_ready_is_one_line(answer: Response | str, reason: str) -> None:
    assert reason_in(answer) == reason
