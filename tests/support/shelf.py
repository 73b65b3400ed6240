"""A small service that keeps something: books, by their ids, which other methods take."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from toto_aio import TotoException
from toto_aio.invocation import safe

Title = Annotated[str, Meta(min_length=1, max_length=80)]
ID = Annotated[int, Meta(ge=1, le=2**53)]


class Book(msgspec.Struct, forbid_unknown_fields=True):
    """A book."""

    book_id: ID
    title: Title


MOST = 1000


def shelf() -> dict[str, Any]:
    """The methods of a new shelf by their names."""
    books: dict[int, Book] = {}
    numbers = itertools.count(1)

    def found(book_id: int) -> Book:
        if book_id not in books:
            raise TotoException(2001, f"There is no book {book_id}.", status=404)
        return books[book_id]

    async def add(title: Title) -> Book:
        """Add a book."""
        book = Book(next(numbers), title)
        books[book.book_id] = book
        if len(books) > MOST:
            del books[next(iter(books))]
        return book

    @safe
    async def get(book_id: ID) -> Book:
        """Give a book."""
        return found(book_id)

    @safe
    async def latest() -> list[Book]:
        """List the latest books."""
        return list(books.values())[-3:]

    async def rename(book_id: Annotated[ID, Meta(description="Of the book")], title: Title) -> Book:
        """Give a book another title."""
        book = found(book_id)
        book.title = title
        return book

    async def remove(book_id: ID) -> bool:
        """Remove a book."""
        del books[found(book_id).book_id]
        return True

    methods = {"add": add, "get": get, "latest": latest, "rename": rename, "remove": remove}
    return {f"books.{name}": method for name, method in methods.items()}
