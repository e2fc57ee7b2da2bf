"""The rules of the live page's guard, one by one."""

import pytest

from nas.ui.guard import Rules, is_loopback, new_token


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses_are_known(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here
    assert not is_loopback("192.168.1.4")
    assert not is_loopback("example.org")


@pytest.mark.parametrize(
    ("header", "here", "everywhere"),
    [
        ("127.0.0.1:8421", True, True),
        ("localhost:8421", True, True),
        ("LOCALHOST", True, True),
        ("[::1]:8421", True, True),
        ("192.168.1.4:8421", False, True),
        ("evil.example:8421", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("", False, False),
        ("[", False, False),
    ],
)
def test_the_host_header_must_be_this_server(header: str, here: bool, everywhere: bool) -> None:
    assert Rules("127.0.0.1", 8421).answers_to(header) is here
    assert Rules("0.0.0.0", 8421, "t").answers_to(header) is everywhere


def test_a_name_that_was_listened_on_is_answered_to() -> None:
    assert Rules("box.lan", 1, "t").answers_to("box.lan:1")
    assert not Rules("box.lan", 1, "t").answers_to("other.lan:1")


def test_a_token_is_needed_only_where_there_is_one() -> None:
    assert Rules("127.0.0.1", 1).is_known({})
    rules = Rules("0.0.0.0", 1, "secret")
    assert rules.is_known({"nas-1": "secret"})
    assert not any(rules.is_known(cookies) for cookies in ({}, {"nas-1": ""}, {"nas-1": "Secret"}, {"nas-2": "secret"}))


ORDER = {"host": "127.0.0.1:1", "x-nas-token": "order"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:2"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://127.0.0.1:1@evil.example"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"x-nas-token": ""}, False),
        ({"x-nas-token": "ordër"}, False),
    ],
)
def test_orders_come_from_the_page_itself(headers: dict[str, str], allowed: bool) -> None:
    rules = Rules("127.0.0.1", 1, order="order")
    assert rules.is_own_order({**ORDER, **headers}) is allowed
    assert not rules.is_own_order({"host": ORDER["host"]})


def test_tokens_are_long_and_never_the_same() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert min(len(new_token()) for _ in range(100)) >= 43
    assert Rules("127.0.0.1", 1).order != Rules("127.0.0.1", 1).order
