"""How much may be deleted: a number, or a share of what is there."""

from batchrun.ops.failures import refusal

__all__ = ["allowed_deletions"]


def allowed_deletions(limit: int | str, seen: int) -> float:
    """Return how many entries may be deleted of those that are there.

    Raises:
        OperationError: the limit is neither a number nor a share.
    """
    text = str(limit).strip()
    number = text.removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise refusal(f"max_delete: {text!r} is not a number or a share such as 10%")
    return value / 100 * seen if text.endswith("%") else value
