"""Times with a unit, in every place where an option can be set."""

from __future__ import annotations

from pathlib import Path

import pytest

from toto_aio.settings import SettingsError, describe_options, read_settings
from toto_aio.settings.declaration import Seconds
from toto_aio.settings.durations import in_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30d", 2592000), ("12h", 43200), ("15m", 900), ("90s", 90), ("1.5h", 5400), (" 2 h ", 7200)],
)
def test_units(written: str, seconds: float) -> None:
    """Days, hours, minutes and seconds, also parts of them."""
    assert in_seconds(written) == seconds


@pytest.mark.parametrize("value", ["30", "d", "-1d", "1d2h", "1w", "1e3s", "٣d", "", 30, 1.5, None])
def test_other_values(value: object) -> None:
    """They stay as they are, for whoever knows what else is right."""
    assert in_seconds(value) is value


def test_every_source(tmp_path: Path) -> None:
    """Keyword arguments, both kinds of files, the environment and the command line take them."""
    toml, literals = tmp_path / "a.toml", tmp_path / "a.conf"
    toml.write_text('session_max_ttl = "365d"\nbody_timeout = 20')
    literals.write_text("session_max_ttl = '52d'")
    settings = read_settings(
        {"session_ttl": "30d"},
        toml,
        {"TOTO_AIO_SLOW_CALL": "2m"},
        {"shutdown_timeout": "15s", "stuck_after": "9"},
    )
    assert (settings.session_ttl, settings.session_max_ttl, settings.body_timeout) == (2592000, 31536000, 20)
    assert (settings.slow_call, settings.shutdown_timeout, settings.stuck_after) == (120, 15, 9)
    assert read_settings({}, literals).session_max_ttl == 52 * 86400


@pytest.mark.parametrize("option", [option.name for option in describe_options() if option.type is Seconds])
def test_every_time(option: str) -> None:
    """Each option that is a time takes one with a unit, and says so if what it gets is none."""
    assert getattr(read_settings({option: "2h"}), option) == 7200
    for wrong in ("2 weeks", "-2h", "2h30", "soon"):
        with pytest.raises(SettingsError) as caught:
            read_settings({}, arguments={option: wrong})
        assert str(caught.value).startswith(f"--{option}: expected float")
        assert str(caught.value).endswith(f"or a time such as 30d, 12h, 15m or 90s, not {wrong!r}")


def test_a_time_that_is_too_short() -> None:
    """A limit counts for it as for a number."""
    with pytest.raises(SettingsError, match=r"session_ttl: expected float > 0.*not '0d'"):
        read_settings({"session_ttl": "0d"})


def test_what_is_no_time() -> None:
    """An option that is none takes none."""
    with pytest.raises(SettingsError, match="port: expected int, not '2h'"):
        read_settings({"port": "2h"})


@pytest.mark.parametrize("option", [option.name for option in describe_options() if option.type is Seconds])
def test_a_time_without_end(option: str, tmp_path: Path) -> None:
    """No source gives one, nor one of ages, which a database or a clock could not represent."""
    toml, literals = tmp_path / "a.toml", tmp_path / "a.conf"
    for written, value in (("inf", float("inf")), ("1e18", 1e18), ("nan", float("nan"))):
        toml.write_text(f"{option} = {written}".replace("1e18", "1.0e18"))
        literals.write_text(f"{option} = {written!r}" if written != "1e18" else f"{option} = 1e18")
        for options, file, environ, arguments in (
            ({option: value}, None, {}, {}),
            ({}, toml, {}, {}),
            ({}, literals, {}, {}),
            ({}, None, {f"TOTO_AIO_{option.upper()}": written}, {}),
            ({}, None, {}, {option: written}),
        ):
            with pytest.raises(SettingsError, match=option.upper() if environ else option):
                read_settings(options, file, environ, arguments)
    with pytest.raises(SettingsError, match="write at most 36500d, not '36501d'"):
        read_settings({option: "36501d"})
    assert getattr(read_settings({option: "36500d"}), option) == 36500 * 86400
