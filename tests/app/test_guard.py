"""Only whoever opened the page on this machine may speak to it."""

import pytest

from indi.app.guard import is_local


def headers(**given: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in given.items()]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:80", "localhost:8888"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert is_local(headers(host=host))
    assert is_local(headers(host=host, origin=f"http://{host}"))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil@localhost",
        "0.0.0.0:7860",
        "",
        ":7860",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_local(headers(host=host))


def test_one_host_must_be_named() -> None:
    assert not is_local([])
    assert not is_local([*headers(host="localhost"), *headers(host="evil.example")])
    assert not is_local(headers(host="localhost:port"))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1", "file://", "http://localhost:7860.x"],
)
def test_pages_of_other_origins_are_not(origin: str) -> None:
    assert not is_local(headers(host="localhost:7860", origin=origin))
