from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smppbridge.config import AccountConfig, Config, Dialect, check, diff, is_secret
from smppbridge.config.dialects import APPENDIX_B, PROFILES

ID = 912125610753523712
HEX = "CA885690B800000"


def dialect(**said: Any) -> Dialect:
    return Dialect.model_validate(said)


# Profiles ------------------------------------------------------------------------------------------------------------


def test_the_default_is_smsc_ru() -> None:
    account = AccountConfig.model_validate({"allowed_networks": []})
    assert account.dialect == Dialect() == dialect(like="smsc.ru")
    assert account.tells_vendor_tlvs


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_by_its_name_alone(name: str) -> None:
    account = AccountConfig.model_validate({"allowed_networks": [], "dialect": name})
    assert account.dialect == dialect(like=name)
    assert account.dialect.like == name
    assert None not in account.dialect.model_dump().values()


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_made_of_traits_that_a_dialect_has(name: str) -> None:
    for trait, value in PROFILES[name].items():
        assert getattr(dialect(like=name), trait) == value
        assert getattr(Dialect(), trait) != value


def test_what_is_said_wins_over_the_profile() -> None:
    assert not dialect(like="kannel").vendor_tlvs
    assert dialect(like="kannel", vendor_tlvs=True).vendor_tlvs
    assert dialect(like="kannel", vendor_tlvs=True).cut_passwords


def test_a_data_coding_that_is_said_leaves_the_others_of_the_profile() -> None:
    assert dialect(like="spec", data_codings={"0x01": "gsm"}).data_codings == {1: "gsm", 4: "binary"}
    assert dialect(like="spec", data_codings={"4": "eight_bit"}).data_codings == {4: "eight_bit"}


def test_the_account_wins_over_its_dialect_about_the_vendors_tlvs() -> None:
    account = AccountConfig.model_validate({"allowed_networks": [], "dialect": "kannel", "vendor_tlvs": True})
    assert account.tells_vendor_tlvs
    account = AccountConfig.model_validate({"allowed_networks": [], "vendor_tlvs": False})
    assert not account.tells_vendor_tlvs


# Message ids ---------------------------------------------------------------------------------------------------------


def test_the_commonest_form_costs_nothing() -> None:
    assert Dialect().write_response_id is str


@pytest.mark.parametrize(
    ("said", "response", "receipt"),
    [
        ({}, str(ID), str(ID)),
        ({"response_ids": "hex"}, HEX, str(ID)),
        ({"receipt_ids": "hex"}, str(ID), HEX),
        ({"response_ids": "hex", "response_id_length": 16}, f"0{HEX}", str(ID)),
        ({"response_id_length": 20, "receipt_id_length": 19}, f"00{ID}", f"0{ID}"),
        ({"response_id_length": 5}, str(ID), str(ID)),
    ],
)
def test_how_an_id_is_written(said: dict[str, Any], response: str, receipt: str) -> None:
    one = dialect(**said)
    assert one.write_response_id(ID) == response
    assert one.write_receipt_id(ID) == receipt
    assert one.read_id(response) == one.read_id(receipt) == ID


@pytest.mark.parametrize(
    ("said", "text", "id"),
    [
        ({}, HEX, None),
        ({}, "", None),
        ({}, "0", None),
        ({}, f" {ID}", None),
        ({}, f"+{ID}", None),
        ({}, "1_0", None),
        ({}, "٣", None),
        ({}, str(2**63), None),
        ({}, "9" * 64, None),
        ({}, "9" * 65, None),
        ({"response_ids": "hex"}, HEX.lower(), ID),
        ({"response_ids": "hex"}, f"0x{HEX}", None),
        # Too long to be meant as hexadecimal, so it is what receipts say; and the other way round.
        ({"response_ids": "hex"}, str(ID), ID),
        ({"response_ids": "hex"}, f"000{ID}", ID),
        ({"receipt_ids": "hex"}, "1234567890123456", 0x1234567890123456),
        ({"response_ids": "hex", "receipt_ids": "hex"}, str(ID), None),
        ({"response_ids": "hex"}, "10", 16),
    ],
)
def test_what_a_client_gives_back(said: dict[str, Any], text: str, id: int | None) -> None:
    assert dialect(**said).read_id(text) == id


FORMS = st.sampled_from(["decimal", "hex"])


@given(
    st.integers(10**17, 2**63 - 1),
    st.fixed_dictionaries(
        {
            "response_ids": FORMS,
            "receipt_ids": FORMS,
            "response_id_length": st.integers(0, 64),
            "receipt_id_length": st.integers(0, 64),
        }
    ),
)
def test_every_id_is_read_back_from_either_form(id: int, said: dict[str, Any]) -> None:
    one = dialect(**said)
    assert one.read_id(one.write_response_id(id)) == id
    assert one.read_id(one.write_receipt_id(id)) == id
    assert len(one.write_response_id(id)) <= 64


# Mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        APPENDIX_B,
        "id:{id} stat:{stat}",
        "{id}",
        "id:{id} to:{destination} from:{source} cost:{cost} 100%",
    ],
)
def test_a_receipt_text(text: str) -> None:
    assert dialect(receipt_text=text).receipt_text == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id:{id} stat:{state_name}", "there is no {state_name}"),
        ("id:{id} {stats}", 'did you mean "stat"'),
        ("id:{id} {id.__class__}", "there is no {id.__class__}"),
        ("id:{id!r}", "there is no {id!r}"),
        ("id:{id:>20}", "there is no {id:>20}"),
        ("id:{id} {}", "there is no {}"),
        ("id:{id} {{stat}}", "a brace stands alone"),
        ("id:{id", "a brace stands alone"),
        ("stat:{stat}", "expected {id} in it"),
        ("номер:{id}", "printable ASCII"),
        ("id:{id}\n", "printable ASCII"),
        ("id:{id}\0", "printable ASCII"),
    ],
)
def test_what_is_no_receipt_text(text: str, reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        dialect(receipt_text=text)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (
            'dialect = "kanel"',
            '[accounts.demo] dialect = "kanel": expected a table or one of "smsc.ru", "kannel", "jasmin", "spec"; '
            'did you mean "kannel"?',
        ),
        (
            "dialect = 5",
            "[accounts.demo] dialect = 5: expected a table",
        ),
        (
            'dialect = { like = "kanel" }',
            '[accounts.demo.dialect] like = "kanel": expected one of "smsc.ru", "kannel", "jasmin", "spec"; '
            'did you mean "kannel"?',
        ),
        (
            'dialect = { data_codings = { "256" = "gsm" } }',
            '[accounts.demo.dialect] data_codings = { 256 = "gsm" }: 256 is no data_coding: '
            "expected a number from 0 to 255",
        ),
        (
            'dialect = { like = "spec", data_codings = { "1" = "gsm7" } }',
            '[accounts.demo.dialect] data_codings = { 1 = "gsm7" }: 1 = gsm7: expected one of gsm, gsm_packed, '
            'ascii, latin1, ucs2, ucs2_le, utf8, eight_bit, binary; did you mean "gsm"?',
        ),
        (
            'dialect = { like = "spec", data_codings = "gsm" }',
            '[accounts.demo.dialect] data_codings = "gsm": expected a table such as { "4" = "binary" }',
        ),
        (
            "dialect = { response_id_length = 65 }",
            "[accounts.demo.dialect] response_id_length = 65: expected a whole number of characters from 0 to 64",
        ),
        (
            "dialect = { id = 1 }",
            "[accounts.demo.dialect] id = 1: unknown key",
        ),
    ],
)
def test_a_mistake_is_found_where_it_stands(line: str, finding: str, tmp_path: Path) -> None:
    path = tmp_path / "smppbridge.toml"
    path.write_text(
        f'[accounts.demo]\npassword = "demo"\nallowed_networks = ["127.0.0.1"]\n{line}\n'
        '[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]\n'
    )
    mistakes = check(path).mistakes
    assert mistakes
    assert finding in str(mistakes[0])


def test_a_warning_of_a_long_password_is_for_those_who_cannot_cut_it(tmp_path: Path) -> None:
    path = tmp_path / "smppbridge.toml"
    for profile, warned in (("smsc.ru", True), ("kannel", False)):
        path.write_text(
            f'[accounts.demo]\npassword = "ninechars"\nallowed_networks = ["127.0.0.1"]\ndialect = "{profile}"\n'
            '[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]\n'
        )
        path.chmod(0o600)
        checked = check(path)
        assert not checked.mistakes
        assert any("longer than the 8 characters" in str(warning) for warning in checked.warnings) is warned


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        ({"receipt_text": "id:{id}", "receipt_tlvs": "false"}, True),
        ({"receipt_text": "id:{id} {stat}", "receipt_tlvs": "false"}, False),
        ({"receipt_text": "id:{id} {state}", "receipt_tlvs": "false"}, False),
        ({"receipt_text": "id:{id}", "receipt_tlvs": "true"}, False),
    ],
)
def test_a_warning_of_receipts_that_say_nothing(said: dict[str, str], warned: bool, tmp_path: Path) -> None:
    path = tmp_path / "smppbridge.toml"
    path.write_text(
        '[accounts.demo]\npassword = "demo"\nallowed_networks = ["127.0.0.1"]\n[accounts.demo.dialect]\n'
        f'receipt_text = "{said["receipt_text"]}"\nreceipt_tlvs = {said["receipt_tlvs"]}\n'
        '[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]\n'
    )
    warnings = [str(warning) for warning in check(path).warnings]
    assert any("[accounts.demo.dialect] receipt_text" in warning for warning in warnings) is warned


# Reading it again ----------------------------------------------------------------------------------------------------


def test_what_a_reload_changed() -> None:
    def settings(said: Any) -> Config:
        account = {"allowed_networks": [], "password": "S3CRET", "dialect": said}
        return Config.model_validate({"accounts": {"demo": account}, "providers": {}, "routes": []})

    other = {"like": "kannel", "response_ids": "hex", "data_codings": {"1": "gsm"}}
    assert diff(settings("smsc.ru"), settings("smsc.ru")) == []
    assert diff(settings("smsc.ru"), settings(other)) == [
        '[accounts.demo.dialect] like: "smsc.ru" → "kannel"',
        '[accounts.demo.dialect] response_ids: "decimal" → "hex"',
        "[accounts.demo.dialect] vendor_tlvs: true → false",
        '[accounts.demo.dialect.data_codings] 1: nothing → "gsm"',
        "[accounts.demo.dialect] cut_passwords: false → true",
    ]


def test_a_habit_of_clients_is_no_secret() -> None:
    assert not is_secret("cut_passwords")
    assert is_secret("passwords")
