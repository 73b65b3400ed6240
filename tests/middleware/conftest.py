"""A site around a service, served by aiohttp's own test server."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.service import PlainServer
from tests.support.site import PASSWORD, OpenSite, Site, make_site


@pytest.fixture
def site(aiohttp_client: AiohttpClient) -> OpenSite:
    """Serve pages around a service: ``await site({"/page": page}, signing="off")``, with an account."""

    async def open_site(pages: Any = None, **options: Any) -> Site:
        application, _ = make_site(pages, **options)
        site = Site(await aiohttp_client(PlainServer(application)))
        await site.service.create("ada", PASSWORD)
        return site

    return open_site
