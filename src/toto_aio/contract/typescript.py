"""A client in TypeScript with the methods of a service and their types, for the npm package ``toto-client``.

The text depends on nothing but the interface. Names and docstrings may be a stranger's: each is written as a
literal, or in a comment that it cannot end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toto_aio.contract.channel_names import names_of
from toto_aio.contract.interface import UNPRINTABLE, Interface, Operation
from toto_aio.contract.namespaces import Namespace, namespace_of
from toto_aio.contract.types import REFERENCE

HEAD = """\
// Made by `toto-aio client typescript`. It changes when the methods of the service do: edit nothing here.

"""
CHANNELS = 'import { channel, type Centrifuge, type SubscriptionOptions } from "toto-client/channels";\n'
TAKEN = frozenset(
    re.findall(
        r"\w+",
        """
        Api Blob CallOptions Centrifuge Channel Client Methods Promise Record Reply SubscriptionOptions
        any api bigint boolean break case catch channel channels class const continue debugger default
        delete do else enum export extends false finally for function if implements import in instanceof
        interface let never new null number object package private protected public return static string
        super switch symbol this throw true try type typeof undefined unknown var void while with yield
        """,
    )
)
"""What no type may be called."""
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
WITH_MEMBERS = """
/** A function that has members: a method whose name is also that of a package. */
function withMembers<F extends object, M extends object>(call: F, members: M): F & M {
  for (const [name, value] of Object.entries(members)) Object.defineProperty(call, name, { value });
  return call as F & M;
}
"""


def typescript(interface: Interface) -> str:
    """The text of the module: the types, ``Methods`` with what each takes and gives, and ``api(client)``."""
    writer = _Writer(interface)
    tree = namespace_of(interface.methods.values())
    imported = ["type CallOptions", "type Client", *(["type Reply"] if writer.has_raw else [])]
    lines = [HEAD, f'import {{ {", ".join(imported)} }} from "toto-client";\n']
    if interface.channels:
        lines += [CHANNELS]
    for name, schema in interface.types.items():
        lines += [f"{line}\n" for line in writer.declared(name, schema)]
    lines += ["\n/** What each method takes and gives. */\nexport interface Methods {\n"]
    for method in interface.methods.values():
        lines += [
            f"  {_key(method.name)}: {{\n    parameters: {writer.parameters(method)};\n"
            f"    result: {writer.result(method)};\n  }};\n"
        ]
    types = writer.types_of(tree, "")
    lines += ["}\n\n/** The methods of the service. */\nexport interface Api ", types, "\n"]
    lines += ["\n/** The methods of the service that a client calls. */\n"]
    lines += [f"export function api(client: Client): Api {{\n  return {writer.values_of(tree, '  ')};\n}}\n"]
    if any(each.method and each.below for each in _all(tree)):
        lines += [WITH_MEMBERS]
    if interface.channels:
        lines += writer.channels(interface.channels)
    return "".join(lines)


class _Writer:
    """Writes schemas as types; those with a name by their names."""

    def __init__(self, interface: Interface) -> None:
        self.has_raw = any(method.is_raw for method in interface.methods.values())
        self._names: dict[str, str] = {}
        for name in interface.types:
            self._names[name] = _free(re.sub(r"\W", "_", name, flags=re.ASCII), self._names.values())

    def declared(self, name: str, schema: Any) -> Iterator[str]:
        """The declaration of a named type."""
        yield ""
        yield from _comment(_text(schema, "description"), "")
        yield f"export type {self._names[name]} = {self.type_of(schema)};"

    def parameters(self, method: Operation) -> str:
        """The type of a method's parameters; with others, if it takes them."""
        schema = method.parameters
        is_open = schema.get("additionalProperties", True) is not False
        return self._object(schema, "    ", is_open=is_open, files=method.files)

    def result(self, method: Operation) -> str:
        """The type of a result."""
        return "Reply" if method.is_raw else self.type_of(method.result, "    ")

    def type_of(self, schema: Any, indent: str = "") -> str:
        """The type of a schema; ``unknown`` for what nobody knows."""
        if schema is False:
            return "never"
        if not isinstance(schema, dict):
            return "unknown"
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._names.get(reference.removeprefix(REFERENCE), "unknown")
        if "const" in schema:
            return _literal(schema["const"])
        if isinstance(schema.get("enum"), list):
            return _union(map(_literal, schema["enum"]))
        for name, join in (("anyOf", _union), ("oneOf", _union), ("allOf", _intersection)):
            if isinstance(schema.get(name), list):
                return join(self.type_of(each, indent) for each in schema[name])
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union(self.type_of({**schema, "type": each}, indent) for each in kind)
        if kind == "array":
            return self._array(schema, indent)
        if kind == "object":
            return self._object(schema, indent)
        return _PLAIN.get(kind, "unknown") if isinstance(kind, str) else "unknown"

    def types_of(self, tree: Namespace, indent: str) -> str:
        """The type of a package: its methods, and the packages below."""
        inner = f"{indent}  "
        lines = ["{\n"]
        for name, each in tree.below.items():
            if each.method is None:
                lines.append(f"{inner}{_key(name)}: {self.types_of(each, inner)};\n")
                continue
            lines += [f"{line}\n" for line in _comment(_documentation(each.method), inner)]
            if each.below:
                call = f"({_arguments(each.method)}) => {_promise(each.method)}"
                lines.append(f"{inner}{_key(name)}: ({call}) & {self.types_of(each, inner)};\n")
            else:
                lines.append(f"{inner}{_key(name)}({_arguments(each.method)}): {_promise(each.method)};\n")
        return "".join([*lines, f"{indent}}}"])

    def values_of(self, tree: Namespace, indent: str, *, is_inferred: bool = True) -> str:
        """The object of a package, which calls; with types where TypeScript cannot infer them."""
        inner = f"{indent}  "
        lines = ["{\n"]
        for name, each in tree.below.items():
            plain = is_inferred and each.method is None
            value = self.values_of(each, inner, is_inferred=plain) if each.below else ""
            if each.method is not None:
                call = _call(each.method, is_typed=bool(each.below) or not is_inferred)
                value = f"withMembers({call}, {value})" if each.below else call
            lines.append(f"{inner}{_key(name)}: {value},\n")
        return "".join([*lines, f"{indent}}}"])

    def channels(self, channels: Mapping[str, Operation]) -> Iterator[str]:
        """The function whose functions subscribe."""
        yield "\n/** The channels of the service, over a connection of `toto-client/channels`. */\n"
        yield "export function channels(connection: Centrifuge) {\n  return {\n"
        for pattern, name in names_of(channels).items():
            each = channels[pattern]
            yield from (f"{line}\n" for line in _comment(_documentation(each), "    "))
            taken, given = "", "{}"
            if each.parameters["properties"]:
                taken, given = f"variables: {self.type_of(each.parameters, '    ')}, ", "variables"
            data = self.type_of(each.result, "    ")
            words = name.split("_")
            key = _key(words[0] + "".join(word.capitalize() for word in words[1:]))
            yield f"    {key}: <Message = unknown>({taken}options?: Partial<SubscriptionOptions>) =>\n"
            yield f"      channel<Message, {data}>(connection, {_literal(pattern)}, {given}, options),\n"
        yield "  };\n}\n"

    def _array(self, schema: Mapping[str, Any], indent: str) -> str:
        first = schema.get("prefixItems")
        if isinstance(first, list):
            return f"[{', '.join(self.type_of(each, indent) for each in first)}]"
        item = self.type_of(schema.get("items"), indent)
        return f"{item}[]" if re.fullmatch(r"[\w$]+(\[\])*", item) else f"({item})[]"

    def _object(
        self, schema: Mapping[str, Any], indent: str, *, is_open: bool = False, files: Iterable[str] = ()
    ) -> str:
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            others = schema.get("additionalProperties")
            if others is False:
                return "Record<string, never>"
            return f"Record<string, {self.type_of(others, indent)}>"
        required, inner, lines = _required(schema), f"{indent}  ", ["{\n"]
        for name, each in properties.items():
            if each is False:
                continue
            kind = self.type_of(each, inner)
            if name in files:
                kind = _union([*(["Blob[]"] if kind.endswith("[]") else ["Blob"]), kind])
            lines += [f"{line}\n" for line in _comment(_text(each, "description"), inner)]
            lines.append(f"{inner}{_key(name)}{'' if name in required else '?'}: {kind};\n")
        if is_open:
            lines.append(f"{inner}[name: string]: unknown;\n")
        return "".join([*lines, f"{indent}}}"])


def _arguments(method: Operation) -> str:
    optional = "" if method.parameters.get("required") else "?"
    return f'parameters{optional}: Methods[{_literal(method.name)}]["parameters"], options?: CallOptions'


def _promise(method: Operation) -> str:
    return f'Promise<Methods[{_literal(method.name)}]["result"]>'


def _call(method: Operation, *, is_typed: bool) -> str:
    """The function that calls a method, as an expression."""
    name = _literal(method.name)
    default = "" if method.parameters.get("required") else " = {}"
    taken = f"parameters{default}, options"
    if is_typed:
        taken = f'parameters: Methods[{name}]["parameters"]{default}, options?: CallOptions'
    kind = f": {_promise(method)}" if is_typed else ""
    options = (
        f"{{ {_REPEATED[method.is_safe]}: true, ...options }}" if _may_be_repeated(method) else "options"
    )
    call = "fetch" if method.is_raw else "call"
    return f"({taken}){kind} => client.{call}({name}, parameters, {options})"


def _may_be_repeated(method: Operation) -> bool:
    return method.is_safe or method.is_idempotent


def _documentation(method: Operation) -> str:
    roles = f"Needs the role {' or '.join(method.roles)}." if method.roles else ""
    deprecated = "@deprecated" if method.is_deprecated else ""
    return "\n\n".join(filter(None, [method.summary, method.description, roles, deprecated]))


def _comment(text: str, indent: str) -> Iterator[str]:
    """A comment, which no text in it ends."""
    safe = UNPRINTABLE.sub(" ", text).replace("``", "`").replace("*/", "*\\/")
    lines = [line.rstrip() for line in safe.strip().split("\n")]
    if lines == [""]:
        return
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
        return
    yield f"{indent}/**"
    yield from (f"{indent} * {line}".rstrip() for line in lines)
    yield f"{indent} */"


def _key(name: str) -> str:
    """The key of an object."""
    if name == "__proto__":
        return '["__proto__"]'  # as it stands it would be the prototype
    if name == "new":
        return '"new"'  # as it stands a method of that name would be a constructor
    return name if IDENTIFIER.fullmatch(name) else _literal(name)


def _literal(value: Any) -> str:
    """A literal. Of what has none, nothing is known."""
    if value is not None and not isinstance(value, str | int | float):
        return "unknown"
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value))


def _union(types: Iterable[str]) -> str:
    kinds = dict.fromkeys(f"({each})" if "=>" in each or " & " in each else each for each in types)
    return "unknown" if "unknown" in kinds else " | ".join(kinds) or "never"


def _intersection(types: Iterable[str]) -> str:
    kinds = dict.fromkeys(f"({each})" if " | " in each else each for each in types if each != "unknown")
    return " & ".join(kinds) or "unknown"


def _free(name: str, taken: Iterable[str]) -> str:
    """An identifier that is not taken."""
    name = name if not name[:1].isdigit() and name else f"_{name}"
    while name in TAKEN or name in taken:
        name += "_"
    return name


def _required(schema: Mapping[str, Any]) -> list[Any]:
    required = schema.get("required")
    return required if isinstance(required, list) else []


def _text(schema: Any, name: str) -> str:
    text = schema.get(name) if isinstance(schema, dict) else None
    return text if isinstance(text, str) else ""


def _all(tree: Namespace) -> Iterator[Namespace]:
    for each in tree.below.values():
        yield each
        yield from _all(each)


_REPEATED = {True: "safe", False: "idempotent"}
"""The option of a call that may be repeated, by whether its method is safe."""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
