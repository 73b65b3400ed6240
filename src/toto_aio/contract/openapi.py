"""The OpenAPI 3.1 document of a service, made of the records of its methods."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from toto_aio.contract.channels import described_channel
from toto_aio.contract.failures import failure_responses
from toto_aio.contract.links import Links
from toto_aio.contract.operations import any_call, documented, encodings, in_each, operations, path_of
from toto_aio.contract.schema import Schemas
from toto_aio.contract.security import security_schemes
from toto_aio.dispatch.method import Method
from toto_aio.registry import callable_methods
from toto_aio.settings import Settings


def openapi(functions: Mapping[str, Method], settings: Settings, root: str) -> dict[str, Any]:
    """The document of these methods and functions that admit to channels.

    The root of the service is at the path ``root``, which is "" at the root of the site.
    """
    methods = callable_methods(functions)
    named = [methods[name] for name in sorted(methods)]
    admitting = [each for each in functions.values() if each.rules.channel is not None]
    schemas = Schemas([*named, *admitting])
    links = Links(named, schemas, settings)
    paths = {path_of(method, root): operations(method, settings, schemas, links) for method in named}
    if settings.method_select == "parameter" and named:
        paths = {root or "/": {"post": any_call(named, settings, schemas)}}
    packages = sorted({name.rpartition(".")[0] for name in methods})
    failures = failure_responses(settings)
    failures["Failure"] = {"description": "An error of the method's own."}
    content = in_each(encodings(settings), {"$ref": "#/components/schemas/TotoFailure"})
    channels = [described_channel(each, settings, schemas) for each in admitting]
    channels.sort(key=lambda channel: str(channel["pattern"]))
    return {
        "openapi": "3.1.0",
        "info": described_service(settings.method_module),
        "paths": paths,
        **({"x-channels": channels} if channels else {}),
        "tags": [{"name": package} for package in packages if package],
        "components": {
            "schemas": schemas.components,
            "responses": {name: {**response, "content": content} for name, response in failures.items()},
            "securitySchemes": security_schemes(settings),
        },
    }


def described_service(package: Any) -> dict[str, str]:
    """The title and version of a service: those of the package of its methods."""
    module = package if isinstance(package, ModuleType) else sys.modules.get(str(package))
    described = documented((module.__doc__ if module is not None else None) or "")
    info = {
        "title": described.get("summary", "Methods"),
        "version": str(getattr(module, "__version__", "1")),
    }
    return {**info, "description": described["description"]} if "description" in described else info
