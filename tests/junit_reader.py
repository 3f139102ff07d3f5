"""JUnit XML as a build server reads it: checked against a schema, then its numbers and cases."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from xmlschema import XMLSchema10

__all__ = ["JunitFile", "read_junit"]

_VERDICTS = ("failure", "error", "skipped")


@dataclass(frozen=True, kw_only=True)
class JunitFile:
    """What is in a file."""

    root: ET.Element

    @property
    def suites(self) -> list[ET.Element]:
        return self.root.findall("testsuite")

    @property
    def cases(self) -> list[ET.Element]:
        return self.root.findall("testsuite/testcase")

    @property
    def names(self) -> list[str]:
        return [case.attrib["name"] for case in self.cases]

    def case(self, name: str) -> ET.Element:
        (found,) = [case for case in self.cases if case.attrib["name"] == name]
        return found

    def properties(self, suite: int = 0) -> dict[str, str]:
        found = self.suites[suite].findall("properties/property")
        return {one.attrib["name"]: one.attrib["value"] for one in found}


def read_junit(path: Path) -> JunitFile:
    """Read a file.

    Raises:
        AssertionError: it is no JUnit XML, or its numbers are not those of its test cases.
    """
    problems = [str(error) for error in _schema().iter_errors(str(path))]
    assert problems == []
    root = ET.parse(path).getroot()
    for element in (root, *root.findall("testsuite")):
        cases = list(element.iter("testcase"))
        found = Counter(child.tag for case in cases for child in case if child.tag in _VERDICTS)
        wanted = {"tests": len(cases), "failures": found["failure"], "errors": found["error"]}
        if element is not root:
            wanted["skipped"] = found["skipped"]
        assert {name: int(element.attrib[name]) for name in wanted} == wanted
    return JunitFile(root=root)


@cache
def _schema() -> XMLSchema10:
    return XMLSchema10(str(Path(__file__).with_name("junit.xsd")))
