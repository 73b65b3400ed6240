"""How dispatch calls a typed method: ``invoke(handler, parameters)``, written for it when the service starts.

Most calls have values of just the types that the method names, and nothing is to be converted. Where all the
types are plain, the function looks for itself, which takes a third of what msgspec takes: its code is seldom
in the processor's cache, as nothing else in a request needs it. Other calls go to msgspec, and what that
refuses to ``decode``, which says why.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Protocol

from msgspec import convert
from msgspec import inspect as types

from toto_aio.dispatch.annotations import node_of, plain_node
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.signature import Parameter, Signature

CONSTANT = (str, bytes, int, float, type(None))
"""The types of defaults that calls can share."""
REFUSED = (ValueError, RecursionError)
"""What msgspec and the checks of classes raise for parameters that are wrong."""


class Reads(Protocol):
    """What reads the parameters of one method."""

    target: Any
    """The type that has them all: a model, or a struct."""
    is_direct: bool
    """Whether ``convert`` needs only the target for parameters that came as JSON, by name."""

    def decode(self, call: Call, parameters: dict[str, Any]) -> Any:
        """The values of a call, of the type ``target``. Raises ``InvalidParameters``."""


def written_invoke(function: Callable[..., Any], signature: Signature, reads: Reads) -> Callable[..., Any]:
    """Calls a typed method with the values of a call."""
    lines = ["def invoke(handler, parameters):", "    call, values = handler.call, None"]
    if reads.is_direct:
        lines.append("    if not (call.by_get or call.by_form or call.is_whole or call.binary):")
        lines += [f"        {line}" for line in _plain(signature) + CONVERTED]
    lines += [
        "    if values is None:",
        "        values = decode(call, parameters)",
        *(f"    {line}" for line in _unpacked(signature)),
        f"    return function({_arguments(signature)})",
    ]
    names = {f"default_{each.attribute}": each.default for each in signature.parameters}
    names |= {"function": function, "convert": convert, "target": reads.target, "decode": reads.decode}
    names["REFUSED"] = REFUSED
    # Of what an author wrote it has only names, which Python has read as such before.
    exec(compile("\n".join(lines), "<the parameters of a call>", "exec"), names)  # noqa: S102
    return update_wrapper(names["invoke"], function, updated=())


CONVERTED = [
    "try:",
    "    values = convert(parameters, target)",
    "except REFUSED:",
    "    pass  # decode says what is wrong, outside of here: this error has values that were sent",
]
"""The lines that ask msgspec."""


def _plain(signature: Signature) -> list[str]:
    """The lines that call the method if each value is just of its plain type; none if a type is not plain."""
    if signature.model is not None or not all(map(_is_plain, signature.parameters)):
        return []
    lines = ["try:", "    count = len(parameters)"]
    for each in signature.parameters:
        here, take = f"p_{each.attribute}", f"p_{each.attribute} = parameters[{each.name!r}]"
        if each.required:
            lines.append(f"    {take}")
        else:
            lines += [f"    if {each.name!r} in parameters:", f"        {take}", "    else:"]
            lines += [f"        {here} = default_{each.attribute}", "        count += 1"]
    checks = [f"count == {len(signature.parameters)}"]
    checks += [check for each in signature.parameters if (check := _check(each))]
    return [
        *lines,
        "except KeyError:",
        "    pass",
        "else:",
        f"    if {' and '.join(checks)}:",
        f"        return function({_arguments(signature)})",
    ]


def _is_plain(parameter: Parameter) -> bool:
    """Whether values of its types need nothing but these."""
    is_shared = parameter.required or isinstance(parameter.default, CONSTANT)
    return is_shared and None not in map(_condition, _types(parameter))


def _check(parameter: Parameter) -> str:
    """The condition for a value that is taken as it is."""
    conditions = [str(_condition(each)).format(f"p_{parameter.attribute}") for each in _types(parameter)]
    if "" in conditions:
        return ""
    if not parameter.required:  # a default may be of another type, such as 1 for a float
        conditions.append(f"{parameter.name!r} not in parameters")
    return f"({' or '.join(conditions)})"


def _types(parameter: Parameter) -> tuple[Any, ...]:
    node = plain_node(node_of(parameter.type))
    return node.types if isinstance(node, types.UnionType) else (node,)


def _condition(node: Any) -> str | None:
    """What is true of the values of a plain type; None for other types."""
    return next((condition for plain, condition in PLAIN if plain == node), None)


PLAIN = (
    (types.AnyType(), ""),
    (types.BoolType(), "type({}) is bool"),
    (types.FloatType(), "type({}) is float"),
    (types.IntType(), "type({}) is int"),
    (types.NoneType(), "{} is None"),
    (types.StrType(), "type({}) is str"),
)
"""The types without constraints, whose values are taken as they are."""


def _unpacked(signature: Signature) -> list[str]:
    """The lines that take the values out of their struct, which is gone when the method is called.

    An error that the method keeps has this frame, and no collector sees a cycle through such a struct.
    """
    if signature.model is not None:
        return []
    names = [each.attribute for each in signature.parameters]
    return [*(f"p_{name} = values.{name}" for name in names), "values = None"]


def _arguments(signature: Signature) -> str:
    """The arguments of the method."""
    handler = ["handler"] if signature.takes_handler else []
    if signature.model is not None:
        return ", ".join([*handler, "values"])
    names = [(f"p_{each.attribute}", each) for each in signature.parameters]
    values = [f"{each.attribute}={value}" if each.by_keyword else value for value, each in names]
    return ", ".join(handler + values)
