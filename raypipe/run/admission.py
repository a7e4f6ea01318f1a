"""Whether the cluster of $RAY_ADDRESS answers and takes our token, asked before Ray is.

Ray 2.60 tries twenty times to join before it believes a refusal, and for a quarter of an hour where nothing answers.
"""

import os


def check_admitted() -> None:
    """Ask the head once; Ray's own client addresses (ray://) are left to Ray.

    Raises
    ------
    PermissionError
        If it wants a token, and ours is missing or wrong.
    ConnectionError
        If nothing answers there within about 40 s.
    """
    given = os.environ["RAY_ADDRESS"]
    if "://" in given:
        return
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RpcError

    address = canonicalize_bootstrap_address(None)
    if address is None:  # "local": a Ray of this process's own
        return
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)  # without any, the client would abort the process
        GcsClient(address=address)
    except AuthenticationError as error:
        raise PermissionError(
            f"the Ray cluster at RAY_ADDRESS {given} wants its token: {_first_line(error)}; put it into "
            "RAY_AUTH_TOKEN or ~/.ray/auth_token."
        ) from None
    except RpcError as error:
        raise ConnectionError(
            f"no Ray cluster answers at RAY_ADDRESS {given}: {_first_line(error)}; start it, or unset RAY_ADDRESS to "
            "have one started on this machine."
        ) from None


def _first_line(error: Exception) -> str:
    """What Ray says, without its page of advice."""
    return str(error).split(". ")[0].splitlines()[0].rstrip(".")
