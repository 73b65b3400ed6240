"""What methods take, read from an OpenAPI document, which may be that of a stranger's service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

Schema = Mapping[str, Any]

MAX_REFERENCES = 16
"""The most references that lead from one to the next."""
IDEMPOTENCY_KEY = "idempotency-key"
REFERENCE = "#/components/schemas/"
NO_DEFAULT = object()


class Parameter(Struct, frozen=True):
    """A parameter of a method; ``takes_file``: one of a form."""

    name: str
    schema: Schema
    required: bool = False
    takes_file: bool = False

    @property
    def description(self) -> str:
        """What the author says about it."""
        return text_of(self.schema, "description")


class Described(Struct, frozen=True):
    """A method. ``is_open``: it may have parameters that it does not name, as those of the classic form."""

    name: str
    summary: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    is_open: bool = True
    needs_user: bool = False
    is_idempotent: bool = False

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name."""
        return next((each for each in self.parameters if each.name == name), None)


class Document:
    """The methods of an OpenAPI document, by name. What is not as it should be there is passed over."""

    def __init__(self, document: Any) -> None:
        found = _object(_object(_object(document).get("components")).get("schemas"))
        self.source = document
        self._schemas: Schema = found
        self.methods: dict[str, Described] = {}
        for path in _object(_object(document).get("paths")).values():
            operation = _object(_object(path).get("post"))
            name = operation.get("operationId")
            body = self._body(operation, "application/json")
            if "oneOf" in body:  # the method is named in the body
                for call in _objects(body["oneOf"]):
                    self._add_call(call)
            elif isinstance(name, str) and name.isprintable():
                self.methods[name] = self._described(name, operation, body)

    def resolved(self, schema: Any) -> Schema:
        """The schema that a reference leads to, with what stands beside the reference."""
        found = dict(_object(schema))
        for _ in range(MAX_REFERENCES):
            reference = found.pop("$ref", None)
            if not isinstance(reference, str):
                return found
            found = {**_object(self._schemas.get(reference.removeprefix(REFERENCE))), **found}
        return {}

    def _body(self, operation: Schema, content_type: str) -> Schema:
        content = _object(_object(operation.get("requestBody")).get("content"))
        return self.resolved(_object(content.get(content_type)).get("schema"))

    def _described(self, name: str, operation: Schema, body: Schema) -> Described:
        form = _object(self._body(operation, "multipart/form-data").get("properties"))
        security = operation.get("security")
        return Described(
            name,
            text_of(operation, "summary"),
            text_of(operation, "description"),
            tuple(self._parameters(body, form)),
            body.get("additionalProperties", True) is not False,
            bool(security) and {} not in _objects(security),
            any(each.get("name") == IDEMPOTENCY_KEY for each in _objects(operation.get("parameters"))),
        )

    def _add_call(self, call: Schema) -> None:
        properties = _object(call.get("properties"))
        name = _object(properties.get("method")).get("const")
        if isinstance(name, str) and name.isprintable():
            body = self.resolved(properties.get("parameters"))
            title = text_of(call, "title")
            self.methods[name] = self._described(name, {"summary": "" if title == name else title}, body)

    def _parameters(self, body: Schema, form: Schema) -> Iterator[Parameter]:
        required = body.get("required")
        for name, schema in _object(body.get("properties")).items():
            if schema is not False and isinstance(name, str) and name.isprintable():
                is_needed = isinstance(required, list) and name in required
                yield Parameter(name, self.resolved(schema), is_needed, _is_file(form.get(name)))


def text_of(schema: Schema, name: str) -> str:
    """A text in a schema; "" if there is none."""
    text = schema.get(name)
    return text if isinstance(text, str) else ""


def _is_file(schema: Any) -> bool:
    found = _object(schema)
    return "binary" in (found.get("format"), _object(found.get("items")).get("format"))


def _object(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Schema]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
