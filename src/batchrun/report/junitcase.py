"""The pieces of JUnit XML: elements, and the test case of a unit."""

import re
from enum import Enum

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import Captured, Failed, Report
from batchrun.report.failures import reason
from batchrun.report.text import count
from batchrun.report.who import who

__all__ = ["Verdict", "case_of", "element", "suite_start", "verdict_of"]

#: What XML 1.0 cannot hold, not even as a reference: controls, surrogates, two non-characters.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: In text a carriage return would be read as a newline; in attributes every white space would be
#: read as a space.
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


class Verdict(Enum):
    """How a test case ended; the value is the element that says so."""

    PASSED = ""
    #: It ran and said no.
    FAILURE = "failure"
    #: It did not get to its end, or there was nowhere to run it.
    ERROR = "error"
    SKIPPED = "skipped"


_VERDICTS = {
    "ok": Verdict.PASSED,
    "failed": Verdict.FAILURE,
    "timed_out": Verdict.ERROR,
    "unreachable": Verdict.ERROR,
    "lost": Verdict.ERROR,
    "cancelled": Verdict.ERROR,
    "aborted": Verdict.ERROR,
    "skipped": Verdict.SKIPPED,
}
_STOPPED = frozenset({"cancelled", "aborted"})


def verdict_of(event: UnitEnded) -> Verdict:
    """Judge a unit as a test.

    Whose failure is ignored is skipped, as tests are that are expected to fail; so is what was
    never begun because something else failed or the run was stopped.
    """
    report = event.report
    verdict = _VERDICTS[report.outcome.kind]
    never_begun = report.outcome.kind in _STOPPED and not report.started_at
    is_excused = event.ignored and verdict is not Verdict.PASSED
    return Verdict.SKIPPED if is_excused or never_begun else verdict


def case_of(event: UnitEnded, *, class_name: str, name: str) -> str:
    """Write the test case of a unit, with its newline.

    Args:
        event: The end of the unit.
        class_name: By which readers group test cases.
        name: For a unit that is for no host and has no item.
    """
    report = event.report
    inner = _result(event)
    inner += _stream("system-out", report.output.stdout, ())
    inner += _stream("system-err", report.output.stderr, report.warnings)
    case = element(
        "testcase",
        inner,
        name=who(event.unit) or name,
        classname=class_name,
        time=f"{report.duration_s:.3f}",
    )
    return f"{case}\n"


def element(tag: str, inner: str = "", /, **attributes: str) -> str:
    """Write an element; what is inside is XML already."""
    start = _start(tag, attributes)
    return f"<{start}>{inner}</{tag}>" if inner else f"<{start}/>"


def suite_start(tag: str, attributes: dict[str, str]) -> str:
    """Write the beginning of an element whose inside follows, with a newline."""
    return f"<{_start(tag, attributes)}>\n"


def _start(tag: str, attributes: dict[str, str]) -> str:
    written = (f' {name}="{_escaped(value, _ATTRIBUTE)}"' for name, value in attributes.items())
    return tag + "".join(written)


def _result(event: UnitEnded) -> str:
    """Write how the unit ended; nothing when it passed."""
    verdict, outcome = verdict_of(event), event.report.outcome
    if verdict is Verdict.PASSED:
        return ""
    text = _why(event.report)
    message = f"ignored: {text}" if event.ignored else text
    body = outcome.traceback if isinstance(outcome, Failed) and outcome.traceback else ""
    return element(verdict.value, _escaped(body, _TEXT), type=outcome.kind, message=message)


def _why(report: Report) -> str:
    """Say why a unit ended as it did, and how often it was tried."""
    tries = f", {report.attempt} attempts" if report.attempt > 1 else ""
    return f"{reason(report.outcome)}{tries}"


def _stream(tag: str, captured: Captured, warnings: tuple[str, ...]) -> str:
    """Write a stream: beginning and end, and how much is missing between them."""
    text = _decoded(captured.head if captured.omitted_bytes else captured.head + captured.tail)
    if captured.omitted_bytes:
        gap = f"[batchrun: {count(captured.omitted_bytes)} bytes are left out here]"
        text = f"{text}\n{gap}\n{_decoded(captured.tail)}"
    if warnings:
        text += "\n" if text and not text.endswith("\n") else ""
        text += "".join(f"[batchrun: {sentence}]\n" for sentence in warnings)
    return element(tag, _escaped(text, _TEXT)) if text else ""


def _decoded(data: bytes) -> str:
    r"""Read bytes as text; those that are not UTF-8 become escapes such as `\xe9`."""
    return data.decode("utf-8", "backslashreplace")


def _escaped(text: str, table: dict[int, str]) -> str:
    """Write text as XML."""
    if not text.isprintable():
        text = _IMPOSSIBLE.sub(_visible, text)
    return text.translate(table)


def _visible(match: re.Match[str]) -> str:
    """Write a character that XML cannot hold as an escape; a byte kept as a surrogate as a byte."""
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
