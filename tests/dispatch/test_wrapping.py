"""Decorators of an author's without ``functools.wraps``, which would open what they wrap to anyone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.packages import Package
from tests.support.service import Serve
from toto_aio import Handler, create_app
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.invocation import authenticated, channel, method, rate, requires, roles, safe, timeout
from toto_aio.registry import find_methods
from toto_aio.settings import SettingsError

Function = Callable[..., Any]

PAY = """
from toto_aio import method
from toto_aio.invocation import roles

def audited(function):
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)
    return wrapper

@method
@audited
@roles("admin")
async def out(handler, amount: int = 0) -> str:
    "Pay."
    return "paid"
"""


def audited(function: Function) -> Function:
    """Takes anything, and says nothing of what it wraps."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


def classic_audited(function: Function) -> Function:
    """Has the parameters of a classic method."""

    async def wrapper(handler: Handler, parameters: dict[str, Any]) -> Any:
        return await function(handler, parameters)

    return wrapper


def by_default(function: Function) -> Function:
    """Keeps what it wraps as a default."""

    async def wrapper(handler: Handler, parameters: dict[str, Any], function: Function = function) -> Any:
        return await function(handler, parameters)

    return wrapper


class Audited:
    """A decorator that is a class."""

    def __init__(self, function: Function) -> None:
        self.function = function

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what it wraps."""
        return await self.function(*args, **kwargs)


async def bare(handler: Handler, parameters: dict[str, Any]) -> str:
    """Without rules."""
    return "bare"


async def typed(handler: Handler, amount: int) -> int:
    """Without rules too."""
    return amount


@roles("admin")
async def out(handler: Handler, parameters: dict[str, Any]) -> str:
    """Pay."""
    return "paid"


def compiled(invoke: Function) -> Method:
    """The method of a function."""
    return compile_method("pay.out", invoke, 60)


def test_a_package_whose_decorator_hides_a_role(package: Package) -> None:
    """The start ends with the name of the method and what to write; with that it has its role."""
    root = package({"pay.py": PAY})
    with pytest.raises(SettingsError) as caught:
        create_app(method_module=root, database="memory://")
    hidden = "pay.out: audited.<locals>.wrapper hides the decorators of out"
    assert str(caught.value) == f"{hidden}: write @functools.wraps(function) above it"


async def test_what_to_write_instead(package: Package, serve: Serve) -> None:
    """With ``functools.wraps`` the method has its role and its parameters."""
    wrapped = PAY.replace("    async def wrapper", "    @functools.wraps(function)\n    async def wrapper")
    root = package({"pay.py": f"import functools\n{wrapped}"})
    assert find_methods(root, 60)["pay.out"].signature is not None
    service = await serve(method_module=root)
    assert (await service.call("pay.out", {"amount": 3}))["error"]["code"] == 1004


@pytest.mark.parametrize(
    ("decorator", "holder", "what"),
    [
        (audited, "audited.<locals>.wrapper", "@functools.wraps(function) above it"),
        (classic_audited, "classic_audited.<locals>.wrapper", "@functools.wraps(function) above it"),
        (by_default, "by_default.<locals>.wrapper", "@functools.wraps(function) above it"),
        (Audited, "Audited", "functools.update_wrapper(self, function) in its __init__"),
        (functools.partial, "partial", "functools.wraps(function)(partial)"),
    ],
)
def test_whatever_wraps(decorator: Function, holder: str, what: str) -> None:
    """It is refused, also with another one around or below it, and is told what to write."""
    with pytest.raises(SettingsError) as caught:
        compiled(decorator(out))
    assert str(caught.value) == f"pay.out: {holder} hides the decorators of out: write {what}"
    inner = decorator(out)
    around = functools.wraps(inner)(audited(inner))
    for function in (method(decorator(out)), decorator(audited(out)), audited(decorator(out)), around):
        with pytest.raises(SettingsError, match=r"^pay\.out: .* hides the decorators of "):
            compiled(function)


@pytest.mark.parametrize(
    "decorator",
    [authenticated, timeout(5), requires("amount"), rate(1, per=60, by="address"), channel("a"), safe],
)
def test_every_rule_counts(decorator: Function) -> None:
    """A wrapper may hide no rule; one that repeats it, or has a stricter one, hides nothing."""

    @decorator
    async def ruled(handler: Handler, parameters: dict[str, Any]) -> None: ...

    with pytest.raises(SettingsError, match=r"hides the decorators of .*ruled"):
        compiled(classic_audited(ruled))
    compiled(functools.wraps(ruled)(classic_audited(ruled)))
    compiled(decorator(classic_audited(ruled)))
    if decorator is authenticated:
        compiled(roles("admin")(classic_audited(ruled)))


def test_wrappers_of_the_same_rules() -> None:
    """``__wrapped__`` is enough for the rules, and an object has those of its ``__call__``."""

    class Paying:
        """A method."""

        @roles("admin")
        async def __call__(self, handler: Handler, parameters: dict[str, Any]) -> None: ...

    linked = audited(out)
    linked.__wrapped__ = out  # type: ignore[attr-defined]
    updated = Audited(out)
    functools.update_wrapper(updated, out)
    partial = functools.wraps(out)(functools.partial(out))
    for function in (linked, updated, partial, Paying(), timeout(3)(linked)):
        assert compiled(function).rules.roles == ("admin",)


def test_the_parameters_of_what_is_wrapped() -> None:
    """Those of a typed method may not be hidden either; a classic one can be wrapped as in Toto."""
    with pytest.raises(SettingsError, match=r"^pay\.out: audited.* hides the parameters of typed: write"):
        compiled(audited(typed))
    assert compiled(audited(bare)).signature is None
    assert compiled(functools.wraps(typed)(audited(typed))).signature is not None


def test_a_method_that_takes_anything(caplog: pytest.LogCaptureFixture) -> None:
    """It is a classic one if it seems to wrap nothing, and the log says so."""

    async def anything(*args: Any, **kwargs: Any) -> None: ...

    compiled(anything)
    assert ".anything takes anything, so it gets a handler and a dict" in caplog.text
    assert "if it wraps a method, write @functools.wraps(function) above it" in caplog.text


def test_methods_that_call_each_other() -> None:
    """Those of one function of the author's see each other by name, and none is taken for a wrapper."""

    @roles("admin")
    async def inner(handler: Handler, parameters: dict[str, Any]) -> None: ...

    async def outer(handler: Handler, parameters: dict[str, Any]) -> None:
        await inner(handler, parameters)

    async def anything(*args: Any, **kwargs: Any) -> None:
        await inner(*args, **kwargs)

    assert not compiled(outer).rules.roles
    with pytest.raises(SettingsError, match="anything hides the decorators of"):
        compiled(anything)
