"""Where outgoing calls may not lead, in every spelling; the listener on loopback must see nothing."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from yarl import URL

from pipelines.library import models as library
from pipelines.library.models import ModelRoute
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.egress import (
    EgressRefused,
    Guard,
    connection_guard,
    is_denied,
    operators_guard,
    tool_guard,
    wrapped_in,
)
from runs.execution.models import registry
from runs.execution.steps import carry_out
from tests.execution.contexts import a_tool_step, an_agent, an_agent_step
from tests.model_server import ModelServer
from tests.sink import Sink

LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[::ffff:0:127.0.0.1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
]


@dataclass
class Listener:
    """Everything that listens on this machine's loopback, on one port; it must be left alone."""

    port: int
    connections: list[object] = field(default_factory=list)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener(0)

    async def connected(_reader: object, writer: asyncio.StreamWriter) -> None:
        found.connections.append(writer.get_extra_info("peername"))
        writer.close()

    with socket.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        server = await asyncio.start_server(connected, sock=both)
        found.port = both.getsockname()[1]
        yield found
        server.close()


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_this_machine_is_reached(listener: Listener, host: str, settings: Any) -> None:
    settings.EGRESS_ALLOW = []
    args = {"method": "GET", "url": f"http://{host}:{listener.port}/"}

    fact = await carry_out(a_tool_step("http.request@1", args))
    await asyncio.sleep(0.01)

    assert isinstance(fact, StepFailed)
    assert fact.error.code in ("egress_refused", "name_not_found")
    assert listener.connections == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:password@example.com/",
        "http://",
        "//example.com",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: evil",
        "http://[::1/",
        "javascript:alert(1)",
    ],
)
async def test_addresses_that_are_no_plain_web_address_are_refused(url: str) -> None:
    fact = await carry_out(a_tool_step("http.request@1", {"method": "GET", "url": url}))

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.CONFIG, "egress_refused")


async def test_a_redirect_is_checked_like_the_first_address(sink: Sink, listener: Listener, settings: Any) -> None:
    settings.EGRESS_ALLOW = ["sink.example", "127.0.0.1/32"]
    for target in (f"http://[::1]:{listener.port}/", f"http://127.0.0.2:{listener.port}/", "file:///etc/passwd"):
        args = {"method": "GET", "url": f"{sink.url}/redirect?to={target}"}
        fact = await carry_out(a_tool_step("http.request@1", args))
        assert isinstance(fact, StepFailed), target
        assert fact.error.code == "egress_refused"
    assert listener.connections == []


async def test_a_name_is_resolved_once_and_refused_when_any_of_its_addresses_is_private(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        both = ("93.184.216.34", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in both]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    args = {"method": "GET", "url": f"http://rebinding.example:{listener.port}/"}

    fact = await carry_out(a_tool_step("http.request@1", args))

    assert isinstance(fact, StepFailed)
    assert fact.error.code == "egress_refused"
    assert asked == ["rebinding.example"]
    assert listener.connections == []


async def test_the_connection_goes_to_the_checked_address_with_the_host_kept(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    answers = iter(["127.0.0.1"])  # a second question would fail the test

    async def getaddrinfo(host: str, port: int, **more: Any) -> Any:
        return await real(next(answers) if host == "sink.example" else host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    port = sink.url.rpartition(":")[2]

    fact = await carry_out(a_tool_step("http.request@1", {"method": "GET", "url": f"http://sink.example:{port}/x"}))

    assert isinstance(fact, StepSucceeded), fact
    assert sink.effects[0]["headers"]["host"] == f"sink.example:{port}"


# Model connections


async def _ask(url: str, monkeypatch: pytest.MonkeyPatch, *, trusted: bool) -> Any:
    route = ModelRoute("mine/m", "m", "openai", "mine", url, trusted_address=trusted)
    monkeypatch.setattr(library, "route", lambda *_: route)
    try:
        return await carry_out(an_agent_step(an_agent("mine/m")))
    finally:
        await registry.close()


async def test_a_model_connection_reaches_a_private_address_only_when_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.EGRESS_ALLOW = []
    async with ModelServer() as server:
        refused = await _ask(server.base_url, monkeypatch, trusted=False)
        assert isinstance(refused, StepFailed)
        assert refused.error.code == "egress_refused"
        assert server.calls == []

        assert isinstance(await _ask(server.base_url, monkeypatch, trusted=True), StepSucceeded)


async def test_a_name_for_loopback_is_no_way_around_for_a_model_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.EGRESS_ALLOW = []
    for host in ("localhost", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"):
        fact = await _ask(f"http://{host}:{listener.port}/v1", monkeypatch, trusted=False)
        assert isinstance(fact, StepFailed)
        assert fact.error.cls in (ErrorClass.CONFIG, ErrorClass.TRANSIENT), fact
    assert listener.connections == []


# The deny table


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "100.64.0.1", "169.254.169.254", "172.31.255.255", "192.168.0.1", "192.0.0.192", "198.18.0.1"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.9"),
        *("fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "64:ff9b::a9fe:a9fe", "::a9fe:a9fe"),
        *("2002:a9fe:a9fe::1", "2002:c0a8:1::1", "::ffff:10.0.0.1", "3fff::1", "5f00::1", "2001:2::1", "4000::1"),
    ],
)
def test_special_addresses_are_denied(address: str) -> None:
    assert is_denied(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450:4001::1"],
)
def test_public_addresses_are_not(address: str) -> None:
    assert not is_denied(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_makes_it_allowed(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrapped = [
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x2002 << 112 | number << 80,
        0x20010000 << 96 | number << 64,
    ]
    for form in wrapped:
        assert is_denied(ipaddress.IPv6Address(form)) or not is_denied(address)


@given(st.ip_addresses())
def test_what_python_calls_special_is_denied(address: Any) -> None:
    assume(not wrapped_in(address))  # those are as what they wrap
    special = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert is_denied(address) or not (special or address.is_reserved or address.is_unspecified)


@pytest.mark.parametrize(
    ("entries", "url", "allowed"),
    [
        (["10.0.0.0/8"], "http://10.1.2.3/", True),
        (["10.0.0.0/8"], "http://192.168.1.1/", False),
        (["127.0.0.1"], "http://[::ffff:127.0.0.1]/", True),
        (["::1"], "http://[::1]/", True),
        (["models.internal"], "http://10.0.0.1/", False),
    ],
)
def test_only_what_an_operator_lists_is_let_through(entries: list[str], url: str, allowed: bool) -> None:
    guard = Guard.allowing(entries)
    if allowed:
        guard.check_url(URL(url))
    else:
        with pytest.raises(EgressRefused):
            guard.check_url(URL(url))


def test_a_listed_host_may_lead_to_a_private_address() -> None:
    guard = Guard.allowing(["models.internal"])
    guard.check("MODELS.internal.", [ipaddress.ip_address("10.0.0.1")])
    with pytest.raises(EgressRefused):
        guard.check("other.internal", [ipaddress.ip_address("10.0.0.1")])


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        *((address, True) for address in ("10.0.0.1", "127.0.0.1", "::1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1")),
        *((address, False) for address in ("169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "240.0.0.1")),
        *((address, False) for address in ("100.100.100.200", "fd00:ec2::254", "64:ff9b::a9fe:a9fe")),
        *((address, False) for address in ("::ffff:169.254.169.254", "2002:a9fe:a9fe::1")),
    ],
)
def test_a_trusted_name_leads_into_private_networks_and_to_no_other_special_address(
    address: str, reached: bool, settings: Any
) -> None:
    settings.EGRESS_ALLOW = []
    guard = connection_guard("http://Models.internal/v1", trusted=True)
    if reached:
        guard.check("models.internal.", [ipaddress.ip_address(address)])
    else:
        with pytest.raises(EgressRefused, match="not a public address"):
            guard.check("models.internal.", [ipaddress.ip_address(address)])
    with pytest.raises(EgressRefused):
        guard.check("another.internal", [ipaddress.ip_address(address)])


def test_what_an_operator_lists_a_trusted_name_may_lead_to_as_well(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["169.254.0.0/16"]
    connection_guard("http://models.internal/v1", trusted=True).check(
        "models.internal", [ipaddress.ip_address("169.254.1.1")]
    )


def test_where_an_operator_lists_the_hosts_no_other_is_reached(settings: Any) -> None:
    settings.EGRESS_ALLOW, settings.EGRESS_ONLY = ["127.0.0.1"], ["api.example.com", "*.models.example", "10.0.0.1"]
    for url in ("https://api.example.com/v1", "https://a.models.example/", "https://API.example.com./"):
        tool_guard().check_url(URL(url))
        connection_guard(url, trusted=False).check_url(URL(url))
    for url in (
        "https://example.com/",
        "https://models.example/",
        "https://api.example.com.evil.net/",
        "http://127.0.0.1/",
    ):
        for guard in (tool_guard(), tool_guard(("example.com",)), connection_guard(url, trusted=True)):
            with pytest.raises(EgressRefused, match="BATON_EGRESS_ONLY"):
                guard.check_url(URL(url))
    connection_guard("http://10.0.0.1/v1", trusted=True).check_url(URL("http://10.0.0.1/v1"))
    with pytest.raises(EgressRefused, match="not a public address"):
        connection_guard("http://10.0.0.1/v1", trusted=False).check_url(URL("http://10.0.0.1/v1"))


def test_what_a_setting_names_is_reached_whatever_the_list_says(settings: Any) -> None:
    settings.EGRESS_ALLOW, settings.EGRESS_ONLY = [], ["api.example.com"]
    operators_guard("http://127.0.0.1:4318").check_url(URL("http://127.0.0.1:4318/v1/traces"))


def test_in_production_nothing_goes_in_the_clear_but_to_whom_the_operator_vouches_for(settings: Any) -> None:
    settings.PRODUCTION, settings.EGRESS_ALLOW = True, ["127.0.0.1", "10.0.0.0/8", "models.internal"]
    settings.PRIVATE_NETWORK = ["models.internal", "10.0.0.1"]
    for host in ("models.internal", "10.0.0.1", "127.0.0.1"):
        for guard in (tool_guard(), connection_guard(f"http://{host}/v1", trusted=True)):
            guard.check_url(URL(f"http://{host}/v1"))
    for host in ("example.com", "10.0.0.2", "models.internal.example.com"):
        tool_guard().check_url(URL(f"https://{host}/v1"))
        for guard in (
            tool_guard(),
            operators_guard(f"http://{host}"),
            connection_guard(f"http://{host}", trusted=True),
        ):
            with pytest.raises(EgressRefused, match=r"in the clear.*BATON_PRIVATE_NETWORK"):
                guard.check_url(URL(f"http://{host}/v1"))


async def test_in_production_no_redirect_leads_out_of_tls(sink: Sink, listener: Listener, settings: Any) -> None:
    settings.PRODUCTION, settings.EGRESS_ALLOW = True, ["127.0.0.1", "elsewhere.example"]
    args = {"method": "GET", "url": f"{sink.url}/redirect?to=http://elsewhere.example:{listener.port}/"}
    fact = await carry_out(a_tool_step("http.request@1", args))
    assert isinstance(fact, StepFailed)
    assert "goes in the clear" in fact.error.message


async def test_a_redirect_leads_to_no_host_that_is_not_listed(sink: Sink, listener: Listener, settings: Any) -> None:
    settings.EGRESS_ALLOW = ["sink.example", "127.0.0.1", "localhost"]
    settings.EGRESS_ONLY = ["sink.example", "127.0.0.1"]
    args = {"method": "GET", "url": f"{sink.url}/redirect?to=http://localhost:{listener.port}/"}
    fact = await carry_out(a_tool_step("http.request@1", args))
    assert isinstance(fact, StepFailed)
    assert (fact.error.code, "BATON_EGRESS_ONLY" in fact.error.message) == ("egress_refused", True)
    assert listener.connections == []
