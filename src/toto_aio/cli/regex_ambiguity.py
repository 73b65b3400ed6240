"""Whether a regular expression can take exponential time in Python's ``re``.

It can if some text leads from a place of the expression back to the same place in two ways, as each
repetition of the text then doubles the ways that are tried before the expression fails (Weideman and others,
"Analyzing Matching Time Behavior of Backtracking Regular Expression Matchers by Using Ambiguity of NFA",
2016). So its positions are compared in pairs, as in an automaton of Glushkov whose edges are counted: in
``(a*)*`` the same ``a`` may follow the last in the inner loop or in the outer one. Back references and what
an assertion looks at are passed over, so that a slow expression may be missed, and hardly a fast one named.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

of: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

MAX_POSITIONS = 200
"""The most characters that an expression is spelled out to; a longer repetition counts as a loop."""
FEW = 5
"""Repetitions of something of varying length that are as bad as a loop."""
SAMPLES = "a_0 \n\t-\u00e9\u0663\u2003\U0010ffff"
"""A letter, a digit and a space, of ASCII and others, and a character that is none of these."""


def is_exponential(pattern: str) -> bool:
    """Whether an expression can take exponential time; false for one that cannot be read, or is too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _Automaton(parser.parse(pattern)).is_ambiguous()
    except (re.error, RecursionError, OverflowError, TooLargeError):
        return False


class TooLargeError(Exception):
    """An expression with more positions than are compared."""


@dataclass
class _Part:
    """A part of an expression: in how many ways it is empty, and at which positions it may begin and end."""

    empty: int = 1
    first: Counter[int] = field(default_factory=Counter)
    last: Counter[int] = field(default_factory=Counter)


class _Automaton:
    """The positions of an expression, what may follow each, and in how many ways."""

    def __init__(self, tree: Any) -> None:
        self._symbols: list[frozenset[str]] = []
        self._follow: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._samples = frozenset(_samples(tree))
        self._may_fail = False
        """Whether something other than a character may make the expression fail at its end."""
        self._folds = bool(tree.state.flags & re.IGNORECASE)
        whole = self._sequence(tree)
        self._ends = frozenset() if self._may_fail else frozenset(whole.last)

    def is_ambiguous(self) -> bool:
        """Whether two ways lead from a position back to it by the same text."""
        edges = {(here, here): list(self._steps(here, here)) for here in range(len(self._symbols))}
        waiting = [pair for steps in edges.values() for pair, _ in steps]
        while waiting:
            pair = waiting.pop()
            if pair not in edges:
                edges[pair] = list(self._steps(*pair))
                waiting += [each for each, _ in edges[pair]]
        for group in _cycles({pair: [to for to, _ in steps] for pair, steps in edges.items()}):
            same = [one for one, other in group if one == other and one not in self._ends]
            doubled = any(ways > 1 for pair in group for to, ways in edges[pair] if to in group)
            if same and (doubled or len(same) < len({pair for pair in group if pair[0] not in self._ends})):
                return True
        return False

    def _steps(self, one: int, other: int) -> Iterator[tuple[tuple[int, int], int]]:
        """Where the same character leads from two positions, and in how many ways."""
        for after, ways in self._follow[one].items():
            for after_other, others in self._follow[other].items():
                if self._symbols[after] & self._symbols[after_other]:
                    yield (after, after_other), ways * others

    def _sequence(self, items: Iterable[Any]) -> _Part:
        whole = _Part()
        for kind, given in items:
            whole = self._then(whole, self._item(kind, given))
        return whole

    def _then(self, one: _Part, other: _Part) -> _Part:
        self._join(one, other)
        return _Part(
            min(one.empty * other.empty, 2),
            one.first + _times(other.first, one.empty),
            other.last + _times(one.last, other.empty),
        )

    def _join(self, one: _Part, other: _Part) -> None:
        for end, ways in one.last.items():
            for start, others in other.first.items():
                self._follow[end][start] = min(self._follow[end][start] + ways * others, 2)

    def _item(self, kind: Any, given: Any) -> _Part:
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(self, given)
        symbols = _symbols(kind, given, self._samples)
        return self._position(symbols) if symbols is not None else _Part()

    def _position(self, symbols: frozenset[str]) -> _Part:
        if len(self._symbols) >= MAX_POSITIONS:
            raise TooLargeError
        if self._folds:
            symbols = frozenset(each.lower() for each in symbols) | {each.upper() for each in symbols}
        self._symbols.append(symbols)
        here = Counter({len(self._symbols) - 1: 1})
        return _Part(0, here, here.copy())

    def group(self, given: Any) -> _Part:
        return self._sequence(given[-1])

    def branch(self, given: Any) -> _Part:
        parts = [self._sequence(each) for each in given[1]]
        return _Part(
            min(sum(each.empty for each in parts), 2),
            sum((each.first for each in parts), Counter()),
            sum((each.last for each in parts), Counter()),
        )

    def repeat(self, given: Any) -> _Part:
        least, most, items = given
        shortest, longest = items.getwidth()
        if most is of.MAXREPEAT or (shortest != longest and most >= FEW) or most * longest > MAX_POSITIONS:
            part = self._sequence(items)
            self._join(part, part)
            return _Part(max(part.empty, 1) if least == 0 or part.empty else 0, part.first, part.last)
        whole = _Part()
        for number in reversed(range(most)):  # as a(a(a)?)?, so that each length is there once
            part = self._sequence(items)
            self._join(part, whole)
            whole = _Part(
                min(part.empty * whole.empty, 2) + (number >= least),
                part.first + _times(whole.first, part.empty),
                whole.last + _times(part.last, whole.empty),
            )
        return whole

    def assertion(self, given: Any) -> _Part:
        self._may_fail = True
        return _Part()

    def place(self, given: Any) -> _Part:
        """``^``, ``$`` and the ends of words: what is on both sides of one can't be repeated as one text."""
        if given in (of.AT_BEGINNING, of.AT_BEGINNING_STRING):
            return _Part()
        self._may_fail = True
        return (
            self._position(frozenset({str(given)}))
            if given in (of.AT_BOUNDARY, of.AT_NON_BOUNDARY)
            else _Part()
        )

    def atomic(self, given: Any) -> _Part:
        self._may_fail = True
        return _Part()


def _times(counts: Counter[int], ways: int) -> Counter[int]:
    return Counter({each: count * ways for each, count in counts.items()}) if ways else Counter()


def _symbols(kind: Any, given: Any, samples: frozenset[str]) -> frozenset[str] | None:
    """The samples that one character of an expression may be; None if it is not a character."""
    if kind is of.ANY:
        return samples - {"\n"}
    if kind is of.LITERAL:
        return frozenset({chr(given)})
    if kind is of.NOT_LITERAL:
        return samples - {chr(given)}
    if kind is of.RANGE:
        return frozenset(each for each in samples if given[0] <= ord(each) <= given[1])
    if kind is of.CATEGORY:
        return frozenset(filter(_CATEGORIES[given], samples))
    if kind is of.IN:
        negated = given[0][0] is of.NEGATE
        found = frozenset().union(*(_symbols(each, what, samples) or () for each, what in given[negated:]))
        return samples - found if negated else found
    return None


def _samples(items: Any) -> Iterator[str]:
    """One character of each kind that an expression tells apart."""
    yield from SAMPLES
    for kind, given in _characters(items):
        for code in given if kind is of.RANGE else (given,):
            yield from (chr(near) for near in (code - 1, code, code + 1) if 0 <= near <= 0x10FFFF)
            yield from chr(code).swapcase()[:1]


def _characters(items: Any) -> Iterator[tuple[Any, Any]]:
    """The characters and ranges in a part of an expression."""
    if isinstance(items, tuple) and len(items) == 2 and items[0] in (of.LITERAL, of.NOT_LITERAL, of.RANGE):
        yield items
    elif isinstance(items, list | tuple | parser.SubPattern):
        for each in items:
            yield from _characters(each)


def _cycles(graph: Mapping[Any, list[Any]]) -> Iterator[set[Any]]:
    """The sets of places that lead to each other (Tarjan 1972), without recursion."""
    order: dict[Any, int] = {}
    low: dict[Any, int] = {}
    path: list[Any] = []
    on_path: set[Any] = set()
    for root in graph:
        work = [] if root in order else [(root, iter(graph[root]))]
        while work:
            node, following = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                path.append(node)
                on_path.add(node)
            step = next(following, None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = path.index(node)
                    group = set(path[at:])
                    del path[at:]
                    on_path -= group
                    if len(group) > 1 or node in graph[node]:
                        yield group
            elif step not in order:
                work.append((step, iter(graph[step])))
            elif step in on_path:
                low[node] = min(low[node], order[step])


_CATEGORIES: Mapping[Any, Callable[[str], bool]] = {
    of.CATEGORY_DIGIT: str.isdigit,
    of.CATEGORY_NOT_DIGIT: lambda each: not each.isdigit(),
    of.CATEGORY_SPACE: str.isspace,
    of.CATEGORY_NOT_SPACE: lambda each: not each.isspace(),
    of.CATEGORY_WORD: lambda each: each.isalnum() or each == "_",
    of.CATEGORY_NOT_WORD: lambda each: not (each.isalnum() or each == "_"),
}
_READERS: Mapping[Any, Callable[[_Automaton, Any], _Part]] = {
    of.SUBPATTERN: _Automaton.group,
    of.BRANCH: _Automaton.branch,
    of.MAX_REPEAT: _Automaton.repeat,
    of.MIN_REPEAT: _Automaton.repeat,
    of.ASSERT: _Automaton.assertion,
    of.ASSERT_NOT: _Automaton.assertion,
    of.AT: _Automaton.place,
    of.ATOMIC_GROUP: _Automaton.atomic,
    of.POSSESSIVE_REPEAT: _Automaton.atomic,
}
