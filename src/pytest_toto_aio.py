"""The pytest plug-in of toto_aio: the fixtures ``toto_serve``, ``toto_call`` and ``toto_options``.

pytest imports this file whenever it starts, before it measures coverage. Therefore it is outside the package,
whose modules are only imported once a fixture is used. The fixtures need pytest-asyncio, in strict or auto
mode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toto_aio.testing import InProcess, Serve, ServedClient

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # toto_aio may be installed next to a pytest without it
    async_fixture = pytest.fixture  # type: ignore[assignment]


@pytest.fixture
def toto_options() -> dict[str, Any]:
    """Options of ``toto_serve`` and ``toto_call``; override this fixture in your conftest.py."""
    return {}


@pytest.fixture
def toto_serve(request: pytest.FixtureRequest) -> Serve:
    """Serve methods: ``client = await toto_serve("methods", database=..., signing="session")``.

    See ``toto_aio.testing.serving``. The service stops at the end of the test.
    """
    _require_pytest_asyncio(request)
    serve: Serve = request.getfixturevalue("_toto_serve")
    return serve


@pytest.fixture
def toto_call(request: pytest.FixtureRequest) -> InProcess:
    """Call a method without HTTP: ``await toto_call(invoke, {"name": "Ada"}, user_id="ada")``.

    See ``toto_aio.testing.InProcess``.
    """
    _require_pytest_asyncio(request)
    call: InProcess = request.getfixturevalue("_toto_call")
    return call


@async_fixture
async def _toto_serve(toto_options: dict[str, Any]) -> AsyncIterator[Serve]:
    import asyncio
    from contextlib import AsyncExitStack

    from toto_aio.testing import require_loop, serving

    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:

        async def serve(methods: Any = None, **options: Any) -> ServedClient:
            require_loop(loop)
            return await stack.enter_async_context(serving(methods, **{**toto_options, **options}))

        yield serve


@async_fixture
async def _toto_call(toto_options: dict[str, Any]) -> AsyncIterator[InProcess]:
    from toto_aio.testing import calling

    options = {name: value for name, value in toto_options.items() if name != "encoding"}  # no bytes are sent
    async with calling(**options) as call:
        yield call


def _require_pytest_asyncio(request: pytest.FixtureRequest) -> None:
    if not request.config.pluginmanager.has_plugin("asyncio"):
        pytest.fail(
            f"{request.fixturename} needs pytest-asyncio: pip install 'toto-aio[testing]'", pytrace=False
        )
