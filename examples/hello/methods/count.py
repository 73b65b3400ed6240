"""Count the calls of a user."""

from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler):
    """Count this session's calls, even when many run at the same time."""

    def add_one(state):
        state["count"] = state.get("count", 0) + 1
        return state["count"]

    return await handler.session.update(add_one)
