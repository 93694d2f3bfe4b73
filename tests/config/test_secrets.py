from __future__ import annotations

from pathlib import Path
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.config.secrets import CUT, MASK, Source, Unreadable, is_secret, mask, open_sources, source_of


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("PSW", True),
        ("apikey", True),
        ("api_key", True),
        ("callback_token", True),
        ("client_secret", True),
        ("Authorization", True),
        ("pass", True),
        ("passwd", True),
        ("password_file", False),
        ("psw_env", False),
        ("password_hash", False),
        ("login", False),
        ("passed_on", False),
        ("compass", False),
        ("account", False),
    ],
)
def test_secret_names(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    "text",
    [
        "psw=p%40ss%20%22w%22%2Fd&fmt=3",
        "psw=p%40ss+%22w%22%2Fd&fmt=3",
        "psw=p%40ss%20%22w%22/d&fmt=3",
        '{"psw": "p@ss \\"w\\"/d"}',
        '<psw>p@ss "w"/d</psw>',
        '<login psw="p@ss &quot;w&quot;/d"/>',
    ],
)
def test_mask_finds_a_secret_in_every_form(text: str) -> None:
    masked = mask(text, ["", 'p@ss "w"/d'])
    assert MASK in masked
    assert "ss" not in masked


def test_mask_hides_the_longer_one_first() -> None:
    assert mask("abcdef abc", ["abc", "abcdef"]) == f"{MASK} {MASK}"


@given(st.text("abc", min_size=1, max_size=12), st.data())
def test_mask_finds_where_a_secret_was_begun_as_a_look_at_every_length_would(secret: str, data: st.DataObject) -> None:
    written = st.builds(lambda length: secret[:length], st.integers(0, len(secret)))
    text = "".join(data.draw(st.lists(written | st.text("abcd" + CUT, max_size=6))))
    expected = text.replace(secret, MASK)
    for length in range(len(secret) - 1, 3, -1):
        expected = expected.replace(secret[:length] + CUT, MASK + CUT)
    assert mask(text, [secret]) == expected


def test_mask_is_as_fast_where_a_text_was_cut_off() -> None:
    """It was a hundred times slower; that a machine is busy makes no such difference."""
    secret = "".join(f"{number:x}-" for number in range(4000))

    def seconds(text: str) -> float:
        return min(repeat(lambda: mask(text, [secret]), number=1, repeat=5))

    assert mask(f"it said {secret[:-1]}{CUT}", [secret]) == f"it said {MASK}{CUT}"
    assert seconds(f"it said {secret[:-1]}{CUT}") < 20 * seconds(f"it said {secret[:-1]}.")


@pytest.mark.parametrize("value", [{}, {"file": 5}, {"file": "a", "env": "b"}, {"path": "a"}, "file", ["file"]])
def test_what_is_no_source(value: object) -> None:
    assert source_of(value) is None


def test_sources_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    raw = {"a": {"b": [{"env": "ONE"}, "two"], "c": {"env": "NONE"}}, "d": 5}
    opened = open_sources(raw)
    assert opened.values == {"a": {"b": ["1", "two"], "c": MASK}, "d": 5}
    assert opened.sources == {("a", "b", 0): Source("env", "ONE"), ("a", "c"): Source("env", "NONE")}
    assert list(opened.unreadable) == [("a", "c")]
    assert open_sources(raw, sealed=True).values["a"]["b"] == [MASK, "two"]


def test_only_the_last_line_end_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b" a\n\r\n")
    path.chmod(0o600)
    assert Source("file", str(path)).read({}) == " a\n"


def test_an_empty_credential_is_told(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(Unreadable, match="is empty"):
        Source("credential", "none").read({"CREDENTIALS_DIRECTORY": str(tmp_path)})
