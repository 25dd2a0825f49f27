import pytest

from app.clienterrors import InvalidUrlError
from app.urls import check_url, place_of


@pytest.mark.parametrize(
    ("url", "place"),
    [("http://n1:8001", ("n1", 8001)), ("http://n1/", ("n1", 80)), ("http://[::1]:8001/", ("::1", 8001))],
)
def test_a_gateway_is_a_host_and_a_port(url: str, place: tuple[str, int]) -> None:
    assert place_of(url) == place
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "nowhere", "https://n1", "http://", "http://n1:0", "http://n1:99999", "http://n1:x"),
        *("http://n1/path", "http://n1?query", "http://user@n1", "http://[::1"),
    ],
)
def test_anything_else_is_none(url: str) -> None:
    with pytest.raises(InvalidUrlError, match="is not"):
        check_url(url)
