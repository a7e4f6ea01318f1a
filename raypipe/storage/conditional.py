"""Conditional puts on S3, the ground for locks there; pyarrow has none."""

from typing import Any

from raypipe.storage.retry import retrying
from raypipe.storage.uris import s3_endpoint


def put(path: str, content: bytes, **condition: str) -> bool:
    """Put an object at BUCKET/KEY if the condition holds, and say whether it was put.

    A put whose answer was lost is tried again and finds its own object there: whoever may meet another's of the same
    content must make it unique.

    Raises
    ------
    OSError
        If S3 fails otherwise.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = path.partition("/")
    n_tried = 0

    def once() -> bool:
        """One attempt."""
        nonlocal n_tried
        n_tried += 1
        try:
            _client().put_object(Bucket=bucket, Key=key, Body=content, **condition)
        except (BotoCoreError, ClientError) as error:
            if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                return n_tried > 1 and _content(bucket, key)[0] == content
            raise OSError(f"can't write s3://{path}: {error}") from error
        return True

    return retrying(once, what=f"s3://{path}")


def swap(path: str, content: bytes, *, seen: bytes) -> bool:
    """Replace an object only if it still holds what was seen, and say whether it was replaced.

    Raises
    ------
    OSError
        If S3 fails otherwise.
    """
    bucket, _, key = path.partition("/")
    found, etag = retrying(lambda: _content(bucket, key), what=f"s3://{path}")
    return found == seen and put(path, content, IfMatch=etag)


def _content(bucket: str, key: str) -> tuple[bytes | None, str]:
    """The content of an object and its tag; None if there is none."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _client().get_object(Bucket=bucket, Key=key)
        return found["Body"].read(), found["ETag"]
    except (BotoCoreError, ClientError) as error:
        if _code(error) == "NoSuchKey":
            return None, ""
        raise OSError(f"can't read s3://{bucket}/{key}: {error}") from error


def _client() -> Any:
    import boto3
    from botocore.config import Config

    # `retrying` must know of each attempt, to tell its own object from another's
    settings = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 1})
    return boto3.client("s3", config=settings, endpoint_url=s3_endpoint())


def _code(error: Exception) -> str:
    """What S3 answered; empty where it didn't."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
