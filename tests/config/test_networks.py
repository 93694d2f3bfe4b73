from __future__ import annotations

from ipaddress import ip_network

import pytest

from smppbridge.config import plain, within

NETWORKS = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize("host", ["192.0.2.255", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::1%eth0"])
def test_inside(host: str) -> None:
    assert within(plain(host), NETWORKS)


@pytest.mark.parametrize(
    "host", ["192.0.3.0", "::ffff:192.0.3.1", "2001:db9::1", "::192.0.2.1", "", "testclient", "1.2"]
)
def test_outside(host: str) -> None:
    assert not within(plain(host), NETWORKS)


def test_nobody_is_within_no_network() -> None:
    assert not within(plain("127.0.0.1"), ())
