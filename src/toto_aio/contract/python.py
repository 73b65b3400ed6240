"""A client in Python with the methods of a service and their types, for ``toto_aio.client``.

As in ``contract.typescript``, names and docstrings may be a stranger's: each is written as a literal. The
types are those of JSON.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toto_aio.contract.channel_names import names_of
from toto_aio.contract.interface import UNPRINTABLE, Interface, Operation
from toto_aio.contract.namespaces import Namespace, namespace_of
from toto_aio.contract.types import REFERENCE

HEAD = '''\
"""The methods of a service, made by ``toto-aio client python``.

It changes when the methods of the service do: make it again, and edit nothing.
"""

# ruff: noqa
from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, Unpack

from toto_aio import File
from toto_aio.client import Client, Response
'''
SENDS_FILES = '''

async def _with_files(
    client: Client, method: str, parameters: dict[str, Any], *names: str, idempotent: bool = False
) -> Any:
    """Call a method, with a form if some of these parameters are files."""
    files: dict[str, list[File]] = {}
    for name in names:
        value: Any = parameters.get(name)
        listed: list[Any] = value if isinstance(value, list) else [value]
        if listed and all(isinstance(each, File) for each in listed):
            files[name] = listed
            del parameters[name]
    return await client.call(method, parameters, files=files or None, idempotent=idempotent)
'''
IMPORTS_OF_CHANNELS = """\
from contextlib import AbstractAsyncContextManager

from toto_aio.channels import Channel, Position
from toto_aio.client import ClientSubscription
"""
CHANNELS = '''

class Channels:
    """The channels of the service."""

    def __init__(self, client: Client) -> None:
        self._client = client
'''
TAKEN = frozenset(
    re.findall(
        r"\w+",
        """
        AbstractAsyncContextManager Any Api Channel Channels Client ClientSubscription File
        Literal NotRequired Position Response TypeAlias TypedDict Unpack all annotations bool dict float
        int isinstance list str
        """,
    )
)
"""What no type may be called."""


def python(interface: Interface) -> str:
    """The text of the module: the types, and ``Api(client)`` with the methods."""
    writer = _Writer(interface)
    tree = namespace_of(interface.methods.values())
    lines = [HEAD + IMPORTS_OF_CHANNELS if interface.channels else HEAD]
    for name, schema in interface.types.items():
        lines.append(writer.declared(writer.names[name], schema))
    for method in _typed(interface):
        lines.append(writer.declared(writer.parameters[method.name], method.parameters, method))
    for channel in interface.channels.values():
        lines.append(writer.declared(writer.variables[channel.name], channel.parameters, channel))
    lines += ["" for _ in writer.results][:1]
    lines += [
        f"{result}: TypeAlias = {writer.type_of(interface.methods[name].result)!r}"
        for name, result in writer.results.items()
    ]
    if any(method.files for method in interface.methods.values()):
        lines.append(SENDS_FILES)
    lines += writer.classes(tree, "Api", "The methods of the service.")
    if interface.channels:
        lines += [CHANNELS.rstrip(), *writer.channels(interface.channels)]
    return "\n".join(lines)


class _Writer:
    """Writes schemas as types, and packages of methods as classes."""

    def __init__(self, interface: Interface) -> None:
        taken: set[str] = set(TAKEN)
        self.names = {name: _free(name, taken) for name in interface.types}
        self.parameters = {
            method.name: _free(_camel(f"{method.name}.parameters"), taken) for method in _typed(interface)
        }
        self.results = {
            method.name: _free(_camel(f"{method.name}.result"), taken)
            for method in interface.methods.values()
            # In its class, a method named list would hide the type.
            if not (method.is_raw or self.type_of(method.result) in (*self.names.values(), "Any", "None"))
        }
        self.variables = {
            pattern: _free(_camel(f"{name}.variables"), taken)
            for pattern, name in names_of(interface.channels).items()
        }
        self._taken = taken

    def declared(self, name: str, schema: Any, method: Operation | None = None) -> str:
        """The declaration of a named type."""
        properties = _properties(schema)
        if not properties and method is None:
            return f"\n{name}: TypeAlias = {str(self.type_of(schema))!r}"
        required, fields = _required(schema), []
        for each, below in properties.items():
            kind = self.type_of(below)
            if method is not None and each in method.files:
                kind = _union(["list[File]" if kind.startswith("list[") else "File", kind])
            fields.append((each, kind if each in required else f"NotRequired[{kind}]"))
        if all(_is_plain(each) for each, _ in fields):
            documentation = _documented(_text(schema, "description"), "    ")
            body = [
                line
                for each, kind in fields
                for line in (*_comment(_text(properties[each], "description")), f"    {each}: {kind}")
            ]
            return "\n".join([f"\n\nclass {name}(TypedDict):", *documentation, *(body or ["    pass"])])
        entries = ", ".join(f"{each!r}: {kind!r}" for each, kind in fields)
        return f"\n\n{name} = TypedDict({name!r}, {{{entries}}})"

    def type_of(self, schema: Any) -> str:
        """The type of a schema; ``Any`` for what nobody knows."""
        if not isinstance(schema, dict):
            return "Any"
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self.names.get(reference.removeprefix(REFERENCE), "Any")
        if "const" in schema:
            return _literal(schema["const"])
        if isinstance(schema.get("enum"), list):
            return _enumerated(schema["enum"])
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list):
                return _union(map(self.type_of, schema[name]))
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union(self.type_of({**schema, "type": each}) for each in kind)
        if kind == "array":
            first = schema.get("prefixItems")
            # As it comes and goes in JSON, a tuple is a list.
            return f"list[{_union(map(self.type_of, first)) if first else self.type_of(schema.get('items'))}]"
        if kind == "object":
            others = None if _properties(schema) else schema.get("additionalProperties")
            return f"dict[str, {self.type_of(others)}]"
        return _PLAIN.get(kind, "Any") if isinstance(kind, str) else "Any"

    def classes(self, tree: Namespace, name: str, documentation: str) -> Iterator[str]:
        """The class of a package, after those of the packages below."""
        below = {}
        attributes = _attributes(tree.below)
        for part, each in tree.below.items():
            if each.below:
                below[part] = _free(_camel(f"{name if name != 'Api' else ''}.{part}.methods"), self._taken)
                yield from self.classes(each, below[part], f"The methods of ``{_quoted(part)}``.")
        lines = [f"\n\nclass {name}:", f'    """{documentation}"""', ""]
        lines += ["    def __init__(self, client: Client) -> None:", "        self._client = client"]
        lines += [f"        self.{attributes[part]} = {kind}(client)" for part, kind in below.items()]
        if tree.method is not None:
            lines += self._method(tree.method, "__call__")
        for part, each in tree.below.items():
            if each.method is not None and not each.below:
                lines += self._method(each.method, attributes[part])
        yield "\n".join(lines)

    def channels(self, channels: Mapping[str, Operation]) -> Iterator[str]:
        """The methods that subscribe."""
        names = names_of(channels)
        attributes = _attributes(names.values())
        for pattern, name in names.items():
            kind = self.variables[pattern]
            yield ""
            yield f"    def {attributes[name]}("
            yield f"        self, since: Position | None = None, /, **variables: Unpack[{kind}]"
            yield "    ) -> AbstractAsyncContextManager[ClientSubscription]:"
            yield from _documented(_documentation(channels[pattern]), "        ")
            yield f"        name = Channel({pattern!r}).name_of(variables)"
            yield "        return self._client.subscribe(name, since)"

    def _method(self, method: Operation, name: str) -> Iterator[str]:
        result = "Response" if method.is_raw else self.results.get(method.name, self.type_of(method.result))
        if method.name in self.parameters:
            taken, given = f"**parameters: Unpack[{self.parameters[method.name]}]", "dict(parameters)"
        else:  # it takes others, which a TypedDict cannot say
            taken, given = "**parameters: Any", "parameters"
        yield ""
        yield f"    async def {name}(self, /, {taken}) -> {result}:"
        yield from _documented(_documentation(method), "        ")
        if method.is_raw:
            yield f"        return await self._client.fetch({method.name!r}, {given})"
            return
        options = ", idempotent=True" if method.is_idempotent else ""
        call = f"self._client.call({method.name!r}, {given}{options})"
        if method.files:
            files = "".join(f", {each!r}" for each in method.files)
            call = f"_with_files(self._client, {method.name!r}, {given}{files}{options})"
        yield f"        result: {result} = await {call}"
        yield "        return result"


def _typed(interface: Interface) -> list[Operation]:
    """The methods that take no parameters but those that they name."""
    return [
        method
        for method in interface.methods.values()
        if method.parameters.get("additionalProperties", True) is False
    ]


def _documentation(method: Operation) -> str:
    roles = f"Needs the role {' or '.join(method.roles)}." if method.roles else ""
    deprecated = "Deprecated." if method.is_deprecated else ""
    return "\n\n".join(filter(None, [method.summary, method.description, roles, deprecated]))


def _documented(text: str, indent: str) -> Iterator[str]:
    """A docstring, which no text in it ends."""
    lines = [line.rstrip() for line in _quoted(text).split("\n")]
    if lines == [""]:
        return
    yield f'{indent}"""{lines[0]}{"" if len(lines) > 1 else _END}'
    yield from (f"{indent}{line}".rstrip() for line in lines[1:])
    if len(lines) > 1:
        yield f'{indent}"""'


def _comment(text: str) -> Iterator[str]:
    """The first line of a description."""
    first = UNPRINTABLE.sub(" ", text).strip().partition("\n")[0]
    if first:
        yield f"    # {first}"


def _quoted(text: str) -> str:
    """Text that stands between three quotation marks."""
    text = UNPRINTABLE.sub(" ", text.replace("\\", "\\\\")).replace('"""', "'''").strip()
    return text[:-1] + "'" if text.endswith('"') else text


def _literal(value: Any) -> str:
    if value is None:
        return "None"
    return f"Literal[{value!r}]" if isinstance(value, str | int) else "Any"


def _enumerated(values: Iterable[Any]) -> str:
    kinds = [_literal(each) for each in values]
    texts = [each for each in kinds if each.startswith("Literal[")]
    joined = f"Literal[{', '.join(each[8:-1] for each in texts)}]" if texts else ""
    return _union(filter(None, [joined, *(each for each in kinds if each not in texts)]))


def _union(types: Iterable[str]) -> str:
    parts = (each.split(" | ") if "[" not in each else [each] for each in types)
    kinds = dict.fromkeys(part for each in parts for part in each)
    return "Any" if "Any" in kinds else " | ".join(kinds) or "Any"


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name))


def _attributes(parts: Iterable[str]) -> dict[str, str]:
    """The names of methods and packages in their class."""
    found: dict[str, str] = {}
    for part in parts:
        found[part] = _free(part, {*found.values()}, "m")
    return found


def _free(name: str, taken: set[str], prefix: str = "T") -> str:
    """An identifier that is not taken, which it then is."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    name = name if name[:1].isalpha() else f"{prefix}{name}"
    while name in taken or keyword.iskeyword(name):
        name += "_"
    taken.add(name)
    return name


def _is_plain(name: str) -> bool:
    is_name = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return is_name and not name.startswith("__")


def _properties(schema: Any) -> Mapping[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    found = properties if isinstance(properties, dict) else {}
    return {name: each for name, each in found.items() if each is not False}


def _required(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required")
    return [each for each in required if isinstance(each, str)] if isinstance(required, list) else []


def _text(schema: Any, name: str) -> str:
    text = schema.get(name) if isinstance(schema, dict) else None
    return text if isinstance(text, str) else ""


_END = '"""'
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
