"""Public generators of clients make code of our OpenAPI document that compiles under ``tsc --strict``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT
from tests.support.thirty import WITH_ACCOUNTS
from toto_aio.contract.openapi import openapi
from toto_aio.dispatch.method import Method
from toto_aio.registry import find_methods
from toto_aio.settings import read_settings

if TYPE_CHECKING:
    from tests.support.node import Node

pytest_plugins = ["tests.support.node"]

EXAMPLES = {"hello": "methods", "embedded": "methods", "chat": "rooms"}
"""The examples that have methods, and the packages of these."""

USES_TYPES = """
import type { components, operations } from "./openapi-typescript";

type Success = operations["notes.add"]["responses"]["200"]["content"]["application/json"];
const title = (success: Success): string => success.result.title;
const tree: components["schemas"]["Tree"] = { name: "a", children: [{ name: "b" }] };
// @ts-expect-error: a word is missing
const query: operations["notes.find:get"]["parameters"]["query"] = { limit: 3 };
export { query, title, tree };
"""
USES_HEY_API = """
import { notesAdd, notesFindGet, dataUpload } from "./hey-api";

export async function use(): Promise<string | undefined> {
  const { data } = await notesAdd({ body: { title: "Milk", color: "blue" } });
  // @ts-expect-error: it has no such color
  await notesAdd({ body: { title: "Milk", color: "green" } });
  await notesFindGet({ query: { word: "milk", limit: 3 } });
  await dataUpload({ body: { file: { name: "a.txt", content_type: "text/plain", data: "YQ==" } } });
  return data?.result.title;
}
"""
USES_ORVAL = """
import { notesAdd, notesFindGet } from "./orval";

export async function use(): Promise<string> {
  const response = await notesAdd({ title: "Milk" });
  if (response.status !== 200) return response.data.error.code.toString();
  await notesFindGet({ word: "milk" });
  // @ts-expect-error: the title is missing
  await notesAdd({ tags: [] });
  return response.data.result.title;
}
"""


def test_generators(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients have the methods and their types, and wrong uses of them do not compile."""
    settings = read_settings({"method_module": WITH_ACCOUNTS, "error_status": "http"})
    document = openapi(_methods(monkeypatch), settings, "/service")
    (tmp_path / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    for package, program, *arguments in (
        (
            *("openapi-typescript", "bin/cli.js", "openapi.json", "-o", "openapi-typescript.ts"),
            "--default-non-nullable=false",  # a request may leave out what has a default
        ),
        ("@hey-api/openapi-ts", "bin/run.js", "-i", "openapi.json", "-o", "hey-api", "--no-log-file"),
        (
            *("orval", "dist/bin/orval.mjs", "--input", "openapi.json", "--output", "orval.ts"),
            *("--client", "fetch"),
        ),
    ):
        node.run(package, program, *arguments, folder=tmp_path)
    for name, text in (("types", USES_TYPES), ("hey", USES_HEY_API), ("orval", USES_ORVAL)):
        (tmp_path / f"use-{name}.ts").write_text(text, encoding="utf-8")
    node.compile(tmp_path)


def _methods(monkeypatch: pytest.MonkeyPatch) -> dict[str, Method]:
    """The thirty methods, those of accounts, and those of each example below its name."""
    found = dict(find_methods(WITH_ACCOUNTS, 60))
    for example, package in EXAMPLES.items():
        with monkeypatch.context() as patch:
            patch.syspath_prepend(ROOT / "examples" / example)
            for name, method in find_methods(package, 60).items():
                found[f"{example}.{name}"] = replace(method, name=f"{example}.{name}")
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]  # another example has a package of that name
    return found
