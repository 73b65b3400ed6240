"""What the codes of errors mean, and what to do: the table that the explorer shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toto_aio import exceptions
from toto_aio.exceptions import HTTP_STATUSES, STATUSES, CodedException
from toto_aio.settings import Settings

ADVICE: Mapping[type[CodedException], str] = {
    exceptions.InternalError: "Give the id to whoever runs the service: its log has the error under it.",
    exceptions.MethodNotFound: "Compare the name with the list of methods. GET reaches safe ones only.",
    exceptions.MissingMethod: "Write the method's name in the path, or as the member method.",
    exceptions.InvalidParameters: "Correct what the error names, and call again.",
    exceptions.NotAuthorized: (
        "Log in. If you are logged in, your account lacks the role, or the login is too old: log in again."
    ),
    exceptions.InvalidCredentials: "Check the user id and the password.",
    exceptions.UserIDExists: "Choose another user id, or log in.",
    exceptions.InvalidSessionID: "Log in again.",
    exceptions.InvalidHMAC: (
        "Log in again, and compare the clock of this device; a signed request counts once, and only for "
        "five minutes."
    ),
    exceptions.InvalidResponseHMAC: "Another service, which the method has called, sent it: try again later.",
    exceptions.InvalidUserID: "Choose another user id.",
    exceptions.Unavailable: "Try again later. The call may have been carried out.",
    exceptions.TooManyAttempts: "Wait for the seconds in retry_after.",
    exceptions.TimedOut: "Find out whether the call was carried out before you repeat it.",
    exceptions.CallInProgress: "Call again a little later, with the same key.",
    exceptions.KeyReused: "Use another key for another call.",
    exceptions.OutcomeUnknown: "Find out what the first call did before you make another.",
    exceptions.SecondFactorRequired: "Send the ticket and a code of the authenticator app.",
}
"""What whoever receives an error can do about it."""


def described_errors(settings: Settings) -> list[dict[str, Any]]:
    """Each code with its name, its status, what it means and what to do, in their order."""
    statuses = HTTP_STATUSES if settings.error_status == "http" else STATUSES
    return [
        {
            "code": kind.CODE,
            "name": kind.__name__,
            "status": statuses.get(kind.CODE, 200),
            "meaning": (kind.__doc__ or "").partition("\n")[0],
            "advice": advice,
        }
        for kind, advice in sorted(ADVICE.items(), key=lambda each: each[0].CODE)
    ]
