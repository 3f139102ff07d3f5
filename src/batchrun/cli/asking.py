"""Questions to the person at the terminal: secrets before a run, `pause: ask` during one."""

import getpass
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from batchrun import api
from batchrun.errors import JobFileError, Problem, SourceError
from batchrun.model.job import Job

__all__ = ["Ask", "answer_prompts", "ask_password", "check_terminal", "terminal_asker"]

#: Asks a question, and gives the answer to a function later, from another thread.
Ask: TypeAlias = Callable[[str, Callable[[bool], None]], None]

_TERMINAL = "/dev/tty"


def check_terminal(job: Job) -> None:
    """Refuse a job that asks between waves where nobody can answer.

    Raises:
        JobFileError: there is no terminal.
    """
    asking = [task for task in job.tasks if task.batch is not None and task.batch.ask]
    if asking and not _has_terminal():
        why = f"the task `{asking[0].id}` asks before each wave (`pause: ask`)"
        _refuse(f"{why}, and there is no terminal")


def answer_prompts(loaded: api.LoadedJob) -> None:
    """Ask for every secret that is to be typed in, before anything is started.

    Raises:
        JobFileError: there is no terminal.
    """
    prompts = loaded.prompts()
    if prompts and not _has_terminal():
        why = f"the secret `{prompts[0][0]}` is to be typed in (`prompt:`)"
        _refuse(f"{why}, and there is no terminal")
    for name, text in prompts:
        _answer(loaded, name, f"{text.rstrip(': ')}: ")


def ask_password(why: str, question: str) -> str:
    """Ask for a password until there is one.

    Args:
        why: What it is wanted for, as a sentence fragment, for who cannot be asked.
        question: What is printed in front of it.

    Raises:
        JobFileError: there is no terminal, or it gives no answer.
    """
    if not _has_terminal():
        _refuse(f"{why}, and there is no terminal")
    while True:
        try:
            if answer := getpass.getpass(question):
                return answer
        except EOFError:
            _refuse(f"{why}, but the input ended")


def _answer(loaded: api.LoadedJob, name: str, question: str) -> None:
    """Ask for one secret until it is good enough to be hidden.

    Raises:
        JobFileError: the terminal gives no answer.
    """
    while True:
        try:
            loaded.answer(name, getpass.getpass(question))
        except SourceError as error:
            sys.stderr.write(f"batchrun: {error}\n")
        except EOFError:
            _refuse(f"the secret `{name}` is to be typed in, but the input ended")
        else:
            return


def terminal_asker(before: Callable[[], None]) -> Ask:
    """Make the function that has a question answered with yes or no.

    It reads the terminal itself, not standard input, which may carry the items. A thread waits
    for the answer, so that the run goes on; nobody waits for the thread at the end.

    Args:
        before: Takes the progress bars off.
    """

    def ask(question: str, answered: Callable[[bool], None]) -> None:
        before()
        threading.Thread(
            target=lambda: answered(_yes(question)), name="batchrun-question", daemon=True
        ).start()

    return ask


def _yes(question: str) -> bool:
    """Ask until the answer is yes or no; no answer, or a terminal that has gone, is no."""
    try:
        with open(_TERMINAL, "r+b", buffering=0) as terminal:
            while True:
                terminal.write(f"{question} [y/n] ".encode())
                line = terminal.readline()
                answer = line.strip().lower()
                if not line or answer in (b"n", b"no"):
                    return False
                if answer in (b"y", b"yes"):
                    return True
    except OSError:
        return False


def _has_terminal() -> bool:
    """Say whether somebody can be asked."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _refuse(why: str) -> NoReturn:
    message = f"{why}; run it where somebody can answer"
    raise JobFileError([Problem(file="batchrun", line=None, path="", message=message)])
