"""docs/configuration.md, and for each adapter docs/providers/NAME.md, name every key, with its default and unit, and no
other. The settings of an adapter stand under a heading that reads `adapter = "NAME"`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

from smppbridge.config import (
    AccountConfig,
    ControlConfig,
    Dialect,
    DistributionListConfig,
    Handler,
    LegConfig,
    Listener,
    OutbindConfig,
    ProviderConfig,
    Route,
    Tls,
    check,
)
from smppbridge.config.mistakes import Unit
from smppbridge.config.tables import HttpConfig, IncomingRoute, LogConfig, SmppConfig, StoreConfig
from smppbridge.providers.registry import adapter_class, names
from smppbridge.providers.sandbox import ENDINGS
from smppbridge.providers.smsgate.settings import Channels

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "\n".join(
    page.read_text(encoding="utf-8") for page in (DOCS / "configuration.md", *sorted((DOCS / "providers").glob("*.md")))
)

TABLES: dict[str, type[BaseModel]] = {
    "[smpp]": SmppConfig,
    "[[smpp.listeners]]": Listener,
    "[smpp.listeners.tls]": Tls,
    "[http]": HttpConfig,
    "[store]": StoreConfig,
    "[log]": LogConfig,
    "[accounts.NAME]": AccountConfig,
    "[accounts.NAME.handler]": Handler,
    "[accounts.NAME.outbind]": OutbindConfig,
    "[accounts.NAME.dialect]": Dialect,
    "[control]": ControlConfig,
    "[distribution_lists.NAME]": DistributionListConfig,
    "[providers.NAME]": ProviderConfig,
    "[[routes]]": Route,
    "[[routes.cascade]]": LegConfig,
    "[[incoming]]": IncomingRoute,
    "[providers.NAME.channels]": Channels,
    # The skeleton is there to be copied, not to be configured.
    **{f'adapter = "{name}"': adapter_class(name).Settings for name in names() if name != "skeleton"},
}


def section(title: str) -> str:
    found = re.search(rf"^#+ `{re.escape(title)}`$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{title} has no section"
    return found[1]


def rows(title: str) -> Iterator[list[str]]:
    for line in section(title).splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("title", TABLES)
def test_every_key_with_its_default_and_unit(title: str) -> None:
    fields = TABLES[title].model_fields
    told = {row[0].strip("`"): row for row in rows(title) if not row[0].strip("`").isdigit()}
    assert list(told) == list(fields)
    for name, field in fields.items():
        _, default, unit, meaning = told[name]
        assert meaning, name
        assert unit == said_unit(field), name
        assert_default(name, field, default)


def said_unit(field: FieldInfo) -> str:
    unit = next((one.name for one in field.metadata if isinstance(one, Unit)), "")
    return "duration" if unit == "seconds" else unit


def assert_default(name: str, field: FieldInfo, told: str) -> None:
    """What is told is read like the file, so that `"5m"` is the same as 300."""
    if field.is_required():
        assert told == "required", name
    elif field.default is None:
        assert told == "none", name
    else:
        value: Any = tomllib.loads(f"value = {told.strip('`')}")["value"]
        read = TypeAdapter(field.rebuild_annotation()).validate_python(value)
        assert plain(read) == plain(field.default), name


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_no_section_is_left_over() -> None:
    assert set(re.findall(r"^#+ `([\[a].*)`$", PAGE, re.MULTILINE)) == set(TABLES)


def test_the_endings_of_the_sandbox() -> None:
    told = [row for row in rows('adapter = "sandbox"') if row[0].strip("`").isdigit()]
    assert [(row[0].strip("`"), row[1], row[2]) for row in told] == [
        (ending.digits, ending.name, ending.says) for ending in ENDINGS
    ]


def test_the_mistakes_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path(__file__).parents[2] / "conf" / "smppbridge.toml"
    text = shipped.read_text(encoding="utf-8").replace('providers = ["sandbox"]', 'providers = ["sandbax"]')
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "smppbridge.toml").write_text(
        text.replace("[accounts.demo]", '[accounts.demo]\nthroughput = "fast"'), encoding="utf-8"
    )
    mistakes = check("conf/smppbridge.toml", adapter_class).mistakes
    assert len(mistakes) == 2
    for mistake in mistakes:
        assert str(mistake) in PAGE.splitlines()
