"""The contract check and a public differ, api-smart-diff, agree about what breaks old clients."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mutations import Mutation, mutations
from tests.support.thirty import METHODS
from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.compare import changes
from toto_aio.contract.file import read_contract, write_contract
from toto_aio.contract.interface import read_interface
from toto_aio.contract.openapi import openapi
from toto_aio.registry import find_methods
from toto_aio.settings import read_settings

if TYPE_CHECKING:
    from tests.support.node import Node

pytest_plugins = ["tests.support.node"]

NUMBER, SEED = 200, 21
LIMIT = 300
"""Seconds that the differ may take on a busy machine."""
WE_ALONE = {
    "a required member gone": "it takes it that what a service does not know any more is passed over",
    "an optional member gone": "the same; and that who reads a result can do without",
    "a member gone where others are taken": "the same, of results",
    "a member renamed": "the same, if the old name was optional",
    "no other members any more": "it does not look at additionalProperties that become false",
    "another item of a tuple": "it does not know prefixItems",
    "text instead of an integer": "a type that breaks senders is harmless to it in a result",
    "an integer instead of text": "the same",
    "a list instead of text": "the same",
    "null as well": "the same",
    "a role needed": "x-roles is ours",
    "a newer login needed": "x-fresh is ours",
    "a rate": "x-rates is ours",
}
"""Why the differ sees no break where we see one."""
THE_DIFFER_ALONE = {
    "a number instead of an integer": "it compares types by their names; whole numbers are numbers",
    "other members as well": "clients pass over what they do not know, and do so from the start",
    "a default less, where nothing is required": "a default is what the service does without it",
    "an error less": "every method may end with any error, and clients decide by its code",
}
"""Why nothing breaks where the differ sees a break."""


@pytest.mark.slow
def test_mutations(node: Node) -> None:
    """Of 200 changes no break is missed; whatever we and the differ disagree about has a reason."""
    made = mutations(the_document(), NUMBER, SEED)
    assert len(made) == NUMBER
    assert {*WE_ALONE, *THE_DIFFER_ALONE} <= {each.kind for each in made}
    agreed = {True: 0, False: 0}
    for mutation, theirs in zip(made, differ(node, made), strict=True):
        ours = breaks(mutation)
        assert bool(ours) is mutation.breaks, f"{mutation}: {ours}"
        if bool(ours) is bool(theirs):
            agreed[mutation.breaks] += 1
        else:
            reasons = WE_ALONE if ours else THE_DIFFER_ALONE
            assert mutation.kind in reasons, f"{mutation}: we say {ours}, the differ {theirs}"
    assert min(agreed.values()) > NUMBER / 4


def the_document() -> dict[str, Any]:
    """The document of thirty methods, in one encoding, as the others have the same schemas."""
    settings = read_settings(
        {"method_module": METHODS, "error_status": "http", "msgpack_enabled": False, "bson_enabled": False}
    )
    found: dict[str, Any] = json.loads(JSON.encode(openapi(find_methods(METHODS, 60), settings, "/service")))
    return found


def breaks(mutation: Mutation) -> list[str]:
    """What the contract check says breaks old clients."""
    before, after = (
        read_contract(write_contract(read_interface(each))) for each in (mutation.before, mutation.after)
    )
    return [str(each) for each in changes(before, after) if each.breaks]


def differ(node: Node, made: list[Mutation]) -> list[list[str]]:
    """What the differ says breaks them."""
    program, library = node.command("api-smart-diff", "dist/index.mjs")
    done = subprocess.run(
        [program, "--input-type=module", "--eval", DIFFER, library],
        input="\n".join(json.dumps([each.before, each.after]) for each in made),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


DIFFER = """
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { apiDiff } = await import(pathToFileURL(process.argv[1]));
for await (const line of createInterface({ input: process.stdin })) {
  const [before, after] = JSON.parse(line);
  // Schemas below `components` are read again where operations use them: there they have a direction.
  const found = apiDiff(before, after).filter(({ path }) => path[0] === "paths");
  const broken = found.filter(({ type }) => type === "breaking");
  console.log(JSON.stringify(broken.map(({ action, path }) => `${action} ${path.join("/")}`)));
}
"""
