"""Words for types and values, whatever model they come from: adapters bring their own."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError

from smppbridge.config.mistakes import Unit, did_you_mean, dotted, expected, spot, worded, written


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    size: Annotated[int, Unit("octets")] = Field(default=1, ge=1)
    psw: SecretStr = SecretStr("")


class Outer(BaseModel):
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    maybe: Inner | None = None
    colors: list[Color] = []
    hidden: str = Field(default="", repr=False)
    odd: complex = 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n b", '"a\\n b"'),
        (True, "true"),
        (5.0, "5"),
        (0.25, "0.25"),
        ([1, "x"], '[1, "x"]'),
        (frozenset({Color.RED, Color.BLUE}), '["blue", "red"]'),
        ({"a": 1, "psw": "x"}, "{ a = 1, psw = *** }"),
        ({}, "{}"),
        (Path("a/b"), '"a/b"'),
        (ip_network("::1"), '"::1/128"'),
        ("x" * 100, '"' + "x" * 58 + "…"),
        ("https://me:it@is@host/a@b", '"https://***@host/a@b"'),
    ],
)
def test_values_are_written_as_in_the_file(value: object, text: str) -> None:
    assert written(value) == text


def test_a_value_with_a_secret_name_is_hidden_unless_it_is_kept_elsewhere() -> None:
    assert written("x", "password") == "***"
    assert written("", "password") == '""'
    assert written({"env": "NAME"}, "password") == '{ env = "NAME" }'


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Unit("octets")], "a whole number of octets"),
        (Annotated[int, Field(ge=1), Unit("octets")], "a whole number of octets, 1 or more"),
        (Annotated[float, Field(gt=0, lt=1)], "a number from 0 to 1"),
        (bool | Path, "true or false or the path of a file"),
        (str | None, "a text"),
        (Literal["", "a", "b"], 'one of "a", "b"'),
        (Color, 'one of "red", "blue"'),
        (list[Color], 'a list, each of them one of "red", "blue"'),
        (dict[str, int], "a table"),
        (Inner, "a table"),
        (complex, ""),
    ],
)
def test_what_is_expected(annotation: Any, words: str) -> None:
    class Model(BaseModel):
        key: annotation

    field = Model.model_fields["key"]
    assert expected(field.annotation, field.metadata) == words


@pytest.mark.parametrize(
    ("place", "table", "key"),
    [
        (("many", 1, "size"), "[[top.many]] #2", "size"),
        (("named", "a b", "size"), '[top.named."a b"]', "size"),
        (("maybe", "size"), "[top.maybe]", "size"),
        (("colors", 0), "[top]", "colors (item 1)"),
        (("colors", 0, "function-plain[x]"), "[top]", "colors (item 1)"),
        (("nonsense",), "[top]", "nonsense"),
    ],
)
def test_where_it_stands(place: tuple[str | int, ...], table: str, key: str) -> None:
    found = spot(place, Outer, above=("top",))
    assert (found.table, found.key) == (table, key)


def test_secrets_of_any_model_are_hidden_and_strange_types_keep_pydantics_words() -> None:
    raw = {"top": {"many": [{"psw": 5}], "hidden": 5, "odd": "x", "colors": ["rad"]}}
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(raw["top"])
    said = [str(one) for one in worded(raised.value, file="f", raw=raw, model=Outer, above=("top",))]
    assert said[0] == "f: [[top.many]] #1 psw = ***: expected a text"
    assert said[1] == 'f: [top] colors (item 1) = "rad": expected one of "red", "blue"; did you mean "red"?'
    assert said[2] == "f: [top] hidden = ***: expected a text"
    assert said[3].startswith('f: [top] odd = "x": expected a valid')


def test_names_and_hints() -> None:
    assert dotted(["a", "b c", 0, "d"]) == 'a."b c" (item 1).d'
    assert did_you_mean("smcs", ["smsc", "sandbox"]) == '; did you mean "smsc"?'
    assert did_you_mean("quite different", ["smsc"]) == ""
