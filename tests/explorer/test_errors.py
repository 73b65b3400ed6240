"""The table of errors that the explorer shows."""

from __future__ import annotations

from toto_aio import exceptions
from toto_aio.exceptions import CodedException
from toto_aio.explorer.errors import described_errors
from toto_aio.settings import Settings


def test_every_code() -> None:
    """Each error of the service's is there once, in order, with what it means and what to do."""
    kinds = [kind for kind in CodedException.__subclasses__() if kind.__module__ == exceptions.__name__]
    every = {kind.CODE for kind in kinds}
    for mode, status in (("toto", 200), ("http", 404)):
        described = described_errors(Settings(error_status=mode))  # type: ignore[arg-type]
        assert [each["code"] for each in described] == sorted(every), "write the advice for a new error"
        assert all(each["meaning"].endswith(".") and each["advice"].endswith(".") for each in described)
        shown = {each["code"]: each for each in described}
        assert (shown[1001]["name"], shown[1001]["status"]) == ("MethodNotFound", status)
        assert shown[1012]["status"] == 429
