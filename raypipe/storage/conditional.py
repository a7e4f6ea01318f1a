"""Conditional puts on S3, the ground for locks there; pyarrow has none."""


def put(path: str, content: bytes, **condition: str) -> bool:
    """Put an object at BUCKET/KEY if the condition holds, and say whether it was put.

    Raises
    ------
    OSError
        If S3 fails otherwise.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = path.partition("/")
    try:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content, **condition)
    except (BotoCoreError, ClientError) as error:
        if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
            return False
        raise OSError(f"can't write s3://{path}: {error}") from error
    return True


def swap(path: str, content: bytes, *, seen: bytes) -> bool:
    """Replace an object only if it still holds what was seen, and say whether it was replaced.

    Raises
    ------
    OSError
        If S3 fails otherwise.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = path.partition("/")
    try:
        found = boto3.client("s3").get_object(Bucket=bucket, Key=key)
        is_seen = found["Body"].read() == seen
    except (BotoCoreError, ClientError) as error:
        if _code(error) == "NoSuchKey":
            return False
        raise OSError(f"can't read s3://{path}: {error}") from error
    return is_seen and put(path, content, IfMatch=found["ETag"])


def _code(error: Exception) -> str:
    """What S3 answered; empty where it didn't."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
