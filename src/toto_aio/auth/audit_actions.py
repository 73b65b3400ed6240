"""The actions that the audit log has, in one table. ``docs/audit.md`` lists the same."""

from __future__ import annotations

from enum import Enum


class Action(Enum):
    """What is done to an account: the name in the log, and what it means."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Action:
        """Take the name as the value."""
        action = object.__new__(cls)
        action._value_ = name
        action.meaning = meaning
        return action

    ACCOUNT_CREATED = "account_created", "an account was created"
    ACCOUNT_DELETED = "account_deleted", "an account was deleted, and its sessions ended"
    ACCOUNT_EXPORTED = "account_exported", "the data of an account were read by its user, or for them"
    LOGIN = (
        "login",
        "a user got a session; `how` says by what: `password`, `second_factor`, `recovery_code`, or "
        "`service` for its own check",
    )
    LOGIN_FAILED = (
        "login_failed",
        "a login was refused; `reason` is `wrong_credentials` or `too_many_attempts`",
    )
    LOGOUT = "logout", "a user ended the session of the request"
    SESSION_ENDED = "session_ended", "one session of an account was ended from another one"
    SESSIONS_ENDED = "sessions_ended", "sessions of an account were ended, as many as `count`"
    PASSWORD_CHANGED = "password_changed", "a user changed the password, and the other sessions ended"
    PASSWORD_REFUSED = (
        "password_refused",
        "a wrong password was given to confirm something; `reason` as above",
    )
    PASSWORD_SET = "password_set", "a password was set without the old one, and the sessions ended"
    PASSWORD_RESET = "password_reset", "a forgotten password was replaced by a code, and the sessions ended"
    CODE_SENT = "code_sent", "a code was sent; `purpose` says what for"
    CODE_REFUSED = "code_refused", "a wrong, spent or outdated code was given; `purpose` says what for"
    EMAIL_VERIFIED = "email_verified", "the address of an account was verified"
    EMAIL_CHANGED = "email_changed", "an account got another verified address"
    TOTP_ENABLED = "totp_enabled", "an account got a second factor"
    TOTP_DISABLED = "totp_disabled", "an account lost its second factor"
    RECOVERY_CODE_USED = "recovery_code_used", "a recovery code was spent; `left` are left"
    RECOVERY_CODES_RENEWED = (
        "recovery_codes_renewed",
        "an account got new recovery codes, in place of the others",
    )
    KEY_CREATED = "key_created", "an API key was created, with its `name` and `scopes`"
    KEY_REVOKED = "key_revoked", "an API key was revoked, with its `name`"
    ROLES_SET = "roles_set", "an account got `roles`, and no others"
