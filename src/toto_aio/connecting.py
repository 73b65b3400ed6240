"""The accounts and sessions of a service, as its methods have them, over the stores that are open."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.audit import Audit
from toto_aio.auth.ends import Ends, OnEnd
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.second_factor import SecondFactor
from toto_aio.auth.secret_box import SecretBox
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.throttle import Attempts, Throttle
from toto_aio.dispatch.runtime import Connection
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.transactions import transactions_of

if TYPE_CHECKING:
    from toto_aio.mail.post import Post
    from toto_aio.monitoring.metrics import Metrics


def connect(
    stack: AsyncExitStack,
    settings: Settings,
    database: Store,
    sessions_in: Store,
    *,
    on_end: OnEnd | None,
    audit: Audit,
    keyed: bool,
    metrics: Metrics | None,
    post: Post | None,
) -> Connection:
    """What a method finds in ``handler.connection``; the ``stack`` closes it.

    ``on_end`` is told of sessions that end, and ``keyed`` says whether each has a key of its own.
    """
    passwords = Passwords()
    stack.callback(passwords.close)
    accounts = Accounts(
        database,
        passwords,
        fields=settings.account_fields,
        password_min_length=settings.password_min_length,
        ends=Ends(sessions_in, on_end),
        audit=audit,
    )
    throttle = Throttle(sessions_in, settings.login_attempts, passwords.turns)
    stack.push_async_callback(throttle.close)
    attempts: Attempts = throttle if metrics is None else metrics.count_attempts(throttle)
    box = SecretBox(settings.secret_key)
    second_factor = SecondFactor(database, accounts.records, box, settings.totp_issuer)
    stack.push_async_callback(second_factor.close)
    sessions = Sessions(
        sessions_in,
        accounts,
        settings,
        attempts=attempts,
        keyed=keyed,
        on_end=on_end,
        second_factor=second_factor,
    )
    coded_mail = None
    if post is not None:
        from toto_aio.dispatch.coded_mail import open_coded_mail  # few services need it

        coded_mail = open_coded_mail(post, settings, database, sessions_in, accounts)
        stack.push_async_callback(coded_mail.close)
    return Connection(
        database.db,
        accounts,
        sessions,
        settings.app,
        transactions_of(database),
        ApiKeys(accounts.records, sessions),
        second_factor,
        coded_mail,
    )
