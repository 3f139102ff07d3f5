"""The table of exit codes, as `CLI.md` has it."""

from batchrun.errors import BatchrunError, JobFileError, LockHeldError, UsageError
from batchrun.model.exitcode import EXIT_CODES, ExitCode

TABLE = [0, 1, 2, 3, 4, 5, 64, 65, 75, 124, 129, 130, 143]


def test_the_codes_are_those_that_were_promised() -> None:
    assert sorted(ExitCode) == TABLE


def test_every_code_is_explained_once() -> None:
    assert [code for code, _ in EXIT_CODES] == sorted(ExitCode)
    assert all(meaning for _, meaning in EXIT_CODES)


def test_every_error_that_ends_the_program_owns_a_code_of_the_table() -> None:
    errors = (BatchrunError, UsageError, JobFileError, LockHeldError)
    assert [error.exit_code for error in errors] == [1, 64, 65, 75]
