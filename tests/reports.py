"""Reports as runners make them, for what looks at attempts."""

from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report

__all__ = ["FAILED", "attempt_of", "written"]

FAILED = Failed(message="exit status 3", exit_status=3)


def attempt_of(outcome: Outcome, stdout: bytes | Captured = b"", stderr: bytes = b"") -> Report:
    """Make the report of one attempt."""
    captured = stdout if isinstance(stdout, Captured) else Captured(head=stdout)
    return Report(
        number=1,
        attempt=1,
        outcome=outcome,
        started_at=1.0,
        duration_s=1.0,
        output=Output(stdout=captured, stderr=Captured(head=stderr)),
    )


def written(stdout: bytes | Captured = b"", *, status: int = 0, stderr: bytes = b"") -> Report:
    """Make the report of a command that ended well."""
    return attempt_of(Ok(changed=True, exit_status=status), stdout, stderr)
