"""Who counts as one client, with and without proxies in between."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.test import RequestFactory

from accounts.clients import client_of

CASES = [
    ("192.0.2.1", None, "192.0.2.1"),
    ("192.0.2.1", "198.51.100.1", "192.0.2.1"),  # nobody's proxy: it may say what it likes
    ("10.0.0.7", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.7", "203.0.113.9, 198.51.100.1", "198.51.100.1"),  # what the client wrote itself is not believed
    ("10.0.0.7", "198.51.100.1, 10.0.0.8", "198.51.100.1"),
    ("10.0.0.7", None, "10.0.0.7"),
    ("10.0.0.7", "unknown", "10.0.0.7"),
    ("10.0.0.7", "198.51.100.1, unknown", "10.0.0.7"),
    ("::ffff:10.0.0.7", "198.51.100.1", "198.51.100.1"),
    ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
    ("10.0.0.7", "2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ("", None, ""),
]


@pytest.mark.parametrize(("remote", "forwarded", "client"), CASES)
def test_only_our_own_proxies_say_who_called(settings: Any, remote: str, forwarded: str | None, client: str) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client_of(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)) == client
