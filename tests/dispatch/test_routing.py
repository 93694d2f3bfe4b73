from __future__ import annotations

import pytest

from smppbridge.config import Route
from smppbridge.dispatch.routing import NO_ROUTE, NOT_SUPPORTED, Router
from smppbridge.model import Kind

CARRIES = {
    "sms": frozenset({Kind.SMS, Kind.BINARY}),
    "viber": frozenset({Kind.VIBER}),
    "all": frozenset(Kind),
}

ROUTES = (
    Route(account="bank", kinds=frozenset({Kind.SMS}), source=("BANK", "BANK-*"), providers=("sms", "all")),
    Route(kinds=frozenset({Kind.VIBER}), destination=("+380", "375"), providers=("viber",)),
    Route(account="bank", providers=("sms", "viber")),
    Route(destination=("7",), source=("1234",), providers=("all",)),
    Route(account="shop", kinds=frozenset({Kind.HLR, Kind.SMS}), providers=("all", "sms")),
)


@pytest.mark.parametrize(
    ("account", "kind", "destination", "source", "providers", "err"),
    [
        ("bank", Kind.SMS, "79990000000", "BANK", ("sms", "all"), 0),
        ("bank", Kind.SMS, "79990000000", "BANK-7", ("sms", "all"), 0),
        # A source pattern without a star is the whole source.
        ("bank", Kind.SMS, "79990000000", "BANKS", ("sms",), 0),
        # Plus signs are not digits, on either side.
        ("shop", Kind.VIBER, "+380671112233", "X", ("viber",), 0),
        ("shop", Kind.VIBER, "380671112233", "X", ("viber",), 0),
        ("bank", Kind.VIBER, "37529", "X", ("viber",), 0),
        # The first route that fits decides, and keeps only those that carry the kind.
        ("bank", Kind.VIBER, "79990000000", "X", ("viber",), 0),
        ("bank", Kind.BINARY, "79990000000", "X", ("sms",), 0),
        ("bank", Kind.HLR, "79990000000", "1234", (), NOT_SUPPORTED),
        # Every condition of a route must fit.
        ("shop", Kind.MAIL, "79990000000", "1234", ("all",), 0),
        ("shop", Kind.MAIL, "79990000000", "12345", (), NO_ROUTE),
        ("shop", Kind.MAIL, "89990000000", "1234", (), NO_ROUTE),
        ("shop", Kind.HLR, "1", "", ("all",), 0),
        ("shop", Kind.SMS, "1", "", ("all", "sms"), 0),
        ("other", Kind.SMS, "1", "", (), NO_ROUTE),
    ],
)
def test_the_first_route_that_fits_decides(
    account: str, kind: Kind, destination: str, source: str, providers: tuple[str, ...], err: int
) -> None:
    router = Router(ROUTES, CARRIES)
    for _ in range(2):  # the second time from what was worked out the first time
        decision = router.route_of(account, kind, destination, source)
        assert (decision.providers, decision.err) == (providers, err)


def test_a_decision_says_why() -> None:
    router = Router(ROUTES, CARRIES)
    assert router.route_of("bank", Kind.SMS, "1", "BANK").why == (
        "route 1 (account bank, kinds sms, from BANK BANK-*) to sms, then all"
    )
    assert router.route_of("bank", Kind.HLR, "1", "").why == "route 3 (account bank): sms, viber cannot carry hlr"
    assert router.route_of("other", Kind.SMS, "1", "").why == "no route for sms of other"
    assert Router([Route(providers=("all",))], CARRIES).route_of("a", Kind.SMS, "1", "").why == (
        "route 1 (everything) to all"
    )


def test_a_star_alone_is_any_source() -> None:
    router = Router([Route(source=("*",), providers=("all",))], CARRIES)
    assert router.route_of("a", Kind.SMS, "1", "").providers == ("all",)
    assert router.route_of("a", Kind.SMS, "1", "anything").providers == ("all",)


def test_a_route_to_nowhere_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="route 1 names the provider 'gone'"):
        Router([Route(providers=("gone",))], CARRIES)
