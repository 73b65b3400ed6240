"""Everything that is wrong with the parameters of a call, found at once.

msgspec stops at the first mistake, and its texts have values and what an author's check said. So a refused
call is looked through once more, in Python: each value once, and no more than ``MAX_VISITS`` of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_origin

from msgspec import Struct, to_builtins
from msgspec import inspect as types

from toto_aio.codecs.limits import MAX_DEPTH
from toto_aio.dispatch.annotations import plain_node
from toto_aio.dispatch.leaves import LEAVES, expected_of, got_of
from toto_aio.dispatch.model_types import is_pydantic, read_custom
from toto_aio.dispatch.spelling import nearest
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened, shown_path

MAX_PROBLEMS = 20
"""The most problems that are named."""
MAX_VISITS = 10_000
"""The most values that are looked at."""


class Problem(Struct, frozen=True, omit_defaults=True):
    """What is wrong at one place. It has no value that was sent, and no text of a check.

    ``kind`` is ``missing``, ``unknown``, ``type`` (``got`` instead of ``expected``), or ``value``: one of the
    right type that breaks a rule.
    """

    path: str
    kind: str
    expected: str = ""
    got: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.path} is missing"
        if self.kind == "unknown":
            hint = f", did you mean {self.nearest}?" if self.nearest else ""
            return f"{self.path} is unknown{hint}"
        where = self.path or "the parameters"
        if not self.expected:
            return f"{where}: not valid"
        return f"{where}: expected {self.expected}" + (f", got {self.got}" if self.got else "")


def known_fields(node: Any) -> dict[str, types.Field]:
    """The fields of an object by the names that they have in a call."""
    return {field.encode_name: field for field in node.fields}


def refusal(problems: Sequence[Problem]) -> InvalidParameters:
    """The error of a call with these problems."""
    shown = problems[:MAX_PROBLEMS]
    text = "; ".join(map(str, shown)) or "Invalid parameters."
    return InvalidParameters(text, problems=to_builtins(shown))


class EnoughError(Exception):
    """As many problems or values as are looked at."""


class Search:
    """Looks for the problems of one call. ``binary``: its codec has bytes of its own, so text is no bytes.

    ``read`` reads the types that msgspec does not know.
    """

    def __init__(self, *, binary: bool = False, read: Callable[[Any, Any], Any] = read_custom) -> None:
        self.problems: list[Problem] = []
        self.binary = binary
        self.read = read
        self._left = MAX_VISITS
        self._path: list[object] = []

    def fields(
        self,
        value: Mapping[str, Any],
        known: Mapping[str, types.Field],
        *,
        closed: bool,
        skip: Collection[str] = (),
    ) -> None:
        """The problems of an object with ``known`` fields.

        ``closed``: no other names may occur; ``skip``: found already.
        """
        self._left -= len(known)
        for name, field in known.items():
            if name in value:
                leaf = LEAVES.get(type(field.type))
                if leaf is None:
                    self.visit(name, value[name], field.type)
                elif problem := leaf(value[name], field.type, self.binary):
                    self._wrong(problem, value[name], field.type, name)
            elif field.required and name not in skip:
                self.add("missing", name, expected=expected_of(field.type))
        if closed and not value.keys() <= known.keys():
            self.unknown(value, known)

    def unknown(self, value: Mapping[str, Any], known: Collection[str]) -> None:
        """Note the names that an object must not have."""
        for name in value:
            if name not in known:
                self.add("unknown", name, nearest=nearest(name, known))

    def visit(self, step: object, value: Any, node: types.Type) -> None:
        """The problems of what is at a step of the path."""
        self._left -= 1
        # Calls in process may be nested deeper than a codec lets others be, or contain themselves.
        if self._left < 0 or len(self._path) >= MAX_DEPTH:
            raise EnoughError
        self._path.append(step)
        self._look(value, plain_node(node))
        self._path.pop()

    def root(self, value: Any, node: types.Type) -> None:
        """The problems of a whole value."""
        self._look(value, plain_node(node))

    def add(self, kind: str, *steps: object, expected: str = "", got: str = "", nearest: str = "") -> None:
        """Note a problem at this place, or below it. Raises ``EnoughError`` after the last."""
        path = shown_path([*self._path, *steps] if self._path else steps)
        self.problems.append(Problem(path, kind, expected, got, nearest))
        if len(self.problems) >= MAX_PROBLEMS:
            raise EnoughError

    def _look(self, value: Any, node: types.Type) -> None:
        kind = type(node)
        leaf = LEAVES.get(kind)
        if leaf is not None:
            problem = leaf(value, node, self.binary)
            if problem:
                self._wrong(problem, value, node)
        else:
            _CONTAINERS[kind](self, value, node)

    def _wrong(self, problem: str, value: Any, node: types.Type, *steps: object) -> None:
        """Note what a leaf has found."""
        if problem == "type":
            self.add("type", *steps, expected=expected_of(node), got=got_of(value))
        else:
            self.add(problem, *steps, expected=expected_of(node, bounds=True))

    def wrong_type(self, value: Any, node: types.Type) -> None:
        self.add("type", expected=expected_of(node), got=got_of(value))

    def sized(self, value: Any, node: Any) -> None:
        """Note a container that is too short or too long."""
        if (node.min_length is not None and len(value) < node.min_length) or (
            node.max_length is not None and len(value) > node.max_length
        ):
            self.add("value", expected=expected_of(node, bounds=True))

    @property
    def path(self) -> tuple[object, ...]:
        return tuple(self._path)


def _any(search: Search, value: Any, node: Any) -> None:
    """Anything is right."""


def _items(search: Search, value: Any, node: Any) -> None:
    if not isinstance(value, list | tuple | set | frozenset):
        search.wrong_type(value, node)
        return
    search.sized(value, node)
    for number, item in enumerate(value):
        search.visit(number, item, node.item_type)


def _tuple(search: Search, value: Any, node: Any) -> None:
    if not isinstance(value, list | tuple):
        search.wrong_type(value, node)
    elif len(value) != len(node.item_types):
        search.add("value", expected=expected_of(node, bounds=True))
    else:
        for number, (item, kind) in enumerate(zip(value, node.item_types, strict=True)):
            search.visit(number, item, kind)


def _dict(search: Search, value: Any, node: Any) -> None:
    if not isinstance(value, Mapping):
        search.wrong_type(value, node)
        return
    search.sized(value, node)
    key_type = plain_node(node.key_type)
    for key, item in value.items():
        if type(key_type) is not types.AnyType and not _is_key(key, key_type):
            search.add("value", key, expected=f"a key: {expected_of(key_type, bounds=True)}")
        search.visit(key, item, node.value_type)


def _is_key(key: Any, node: types.Type) -> bool:
    from toto_aio.dispatch.text import read_text

    leaf = LEAVES.get(type(node))
    return leaf is None or not leaf(key if type(node) is types.StrType else read_text(key, node), node, False)


def _object(search: Search, value: Any, node: Any) -> None:
    if getattr(node, "array_like", False) or isinstance(node, types.NamedTupleType):
        _array_object(search, value, node)
        return
    if type(node) is not types.TypedDictType and isinstance(value, get_origin(node.cls) or node.cls):
        return  # of a call in process
    if not isinstance(value, Mapping):
        search.wrong_type(value, node)
        return
    tag_field = getattr(node, "tag_field", None)
    if tag_field is not None and tag_field in value:
        if value[tag_field] != node.tag:
            search.add("value", tag_field, expected=repr(node.tag))
        value = {name: each for name, each in value.items() if name != tag_field}
    search.fields(value, known_fields(node), closed=getattr(node, "forbid_unknown_fields", False))


def _array_object(search: Search, value: Any, node: Any) -> None:
    if isinstance(value, get_origin(node.cls) or node.cls):
        return
    if not isinstance(value, list | tuple):
        search.wrong_type(value, node)
        return
    tagged = getattr(node, "tag_field", None) is not None
    items = value[tagged:]
    if tagged and (not value or value[0] != node.tag):
        search.add("value", 0, expected=repr(node.tag))
    for number, field in enumerate(node.fields):
        if number < len(items):
            search.visit(number + tagged, items[number], field.type)
        elif field.required:
            search.add("missing", number + tagged, expected=expected_of(field.type))


def _union(search: Search, value: Any, node: Any) -> None:
    kinds = [plain_node(each) for each in node.types]
    tagged = [each for each in kinds if getattr(each, "tag_field", None) is not None]
    if len(tagged) > 1 and isinstance(value, Mapping | list):
        _tagged(search, value, tagged)
        return
    got = got_of(value)
    fitting = [each for each in kinds if got in _takes(each)]
    if not fitting:
        search.wrong_type(value, node)
    elif len(fitting) == 1:
        search._look(value, fitting[0])
    elif not any(_fits(value, each, search.binary) for each in fitting):
        search.add("value", expected=expected_of(node, bounds=True))


def _fits(value: Any, node: types.Type, binary: bool) -> bool:
    leaf = LEAVES.get(type(node))
    return leaf is None or not leaf(value, node, binary)


def _tagged(search: Search, value: Any, kinds: Sequence[Any]) -> None:
    """The problems of one of several objects, which its tag tells apart."""
    field = kinds[0].tag_field
    tags = {each.tag: each for each in kinds}
    step: object = field if isinstance(value, Mapping) else 0
    found = value.get(field, _ABSENT) if isinstance(value, Mapping) else value[0] if value else _ABSENT
    expected = shortened(" or ".join(map(repr, tags)))
    if found is _ABSENT:
        search.add("missing", step, expected=expected)
    elif not isinstance(found, str | int) or found not in tags:
        search.add("value", step, expected=expected)
    else:
        search._look(value, tags[found])


def _takes(node: types.Type) -> frozenset[str]:
    """The kinds of values that a type may be read from."""
    return _TAKES.get(type(node), _EVERYTHING)


def _custom(search: Search, value: Any, node: Any) -> None:
    try:
        search.read(node.cls, value)
    except Exception as exc:
        if is_pydantic(node.cls) and hasattr(exc, "error_count"):
            from toto_aio.dispatch.pydantic_problems import add_problems

            add_problems(search, exc)
        else:
            search.add("value", expected=shortened(node.cls.__name__))


_ABSENT = object()
_CONTAINERS: Mapping[type, Callable[[Search, Any, Any], None]] = {
    types.AnyType: _any,
    types.ListType: _items,
    types.SetType: _items,
    types.FrozenSetType: _items,
    types.VarTupleType: _items,
    types.TupleType: _tuple,
    types.DictType: _dict,
    types.StructType: _object,
    types.DataclassType: _object,
    types.TypedDictType: _object,
    types.NamedTupleType: _object,
    types.UnionType: _union,
    types.CustomType: _custom,
}
_EVERYTHING = frozenset(
    {"null", "bool", "int", "float", "str", "bytes", "datetime", "date", "time", "array", "object", "other"}
)
_TEXT = frozenset({"str"})
_ARRAY = frozenset({"array"})
_OBJECT = frozenset({"object", "other"})
_TAKES: Mapping[type, frozenset[str]] = {
    types.NoneType: frozenset({"null"}),
    types.BoolType: frozenset({"bool"}),
    types.IntType: frozenset({"int"}),
    types.FloatType: frozenset({"int", "float"}),
    types.StrType: _TEXT,
    types.BytesType: _TEXT | {"bytes"},
    types.ByteArrayType: _TEXT | {"bytes"},
    types.MemoryViewType: _TEXT | {"bytes"},
    types.DateTimeType: _TEXT | {"datetime"},
    types.DateType: _TEXT | {"date"},
    types.TimeType: _TEXT | {"time"},
    types.TimeDeltaType: _TEXT | {"other"},
    types.UUIDType: _TEXT | {"bytes", "other"},
    types.DecimalType: _TEXT | {"other"},
    types.ListType: _ARRAY,
    types.SetType: _ARRAY,
    types.FrozenSetType: _ARRAY,
    types.VarTupleType: _ARRAY,
    types.TupleType: _ARRAY,
    types.NamedTupleType: _ARRAY | {"other"},
    types.DictType: _OBJECT,
    types.TypedDictType: _OBJECT,
    types.DataclassType: _OBJECT,
    types.StructType: _OBJECT | _ARRAY,
}
