"""Change the caller's account."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.account_fields import account_values
from toto_aio.auth.user_ids import known_as
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import InvalidParameters, NotAuthorized
from toto_aio.invocation import authenticated
from toto_aio.models import ClientInfo
from toto_aio.threads import waits_in_threads


@authenticated
@waits_in_threads
@redirects_form
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Change the password from ``password`` to ``new_password``, or set custom fields, or both.

    A new password ends the other sessions of the user and gives this one a new id.
    """
    session = handler.session
    assert session is not None
    accounts = handler.connection.accounts
    if "user_id" in parameters and session.user_id not in known_as(parameters["user_id"]):
        raise NotAuthorized.because("user_id is another user's: account.update is for one's own account")
    values = account_values(parameters, accounts.fields)
    result: dict[str, Any] = {"updated_fields": []}
    if "new_password" in parameters:
        if "password" not in parameters:
            raise InvalidParameters("Missing parameters: password")
        client = ClientInfo(handler.address, handler.reply.agent)
        session = await handler.caller.change_password(
            session, parameters["password"], parameters["new_password"], client
        )
        handler.take_session(session)
        result["updated_fields"].append("password")
        result.update(session.describe())
    if values:
        account = await session.get_account()
        if account is None:
            raise NotAuthorized.because("the account is gone")
        account.update(values)
        await account.save()
        result["updated_fields"].extend(values)
    return result
