"""The HTML report in a real browser, which is asked what it shows, requests and complains about."""

import base64
import json
import re
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from batchrun.model.event import RunStarted, UnitEnded
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report, Skipped, TimedOut
from batchrun.report.html import HtmlSink
from program import Program
from report_page import ReportPage
from scripted_run import Script
from support import wait_until

pytestmark = pytest.mark.timeout(120)

UNITS = 10_000
HOSTILE = (
    "</script><script>window.owned=1</script><img src=x onerror='window.owned=1'>"
    "<svg onload='window.owned=1'>\x1b]0;owned\x07\x1b[2J\u2028"
)
#: Chromium's own talk with its makers is none of the page's.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


def long_run(path: Path) -> None:
    """Write the report of ten thousand units on eight workers, some of which fail."""
    sink, script = HtmlSink(path), Script()
    tasks = (("stage", "stage the exports"), ("dump", "dump databases " + HOSTILE))
    began = 1_795_317_300.0
    sink.handle(
        RunStarted(
            run_id="20261122-031500-7f3a", job_name="nightly", at=began, procs=8, tasks=tasks
        )
    )
    script.planned = {"stage": 0, "dump": 0}
    for number in range(1, UNITS + 1):
        outcome, output = ending(number)
        unit = script.unit(f"/data/{number}.csv", "stage" if number <= 9_000 else "dump")
        report = Report(
            number=number,
            attempt=1,
            outcome=outcome,
            started_at=began + (number - 1) // 8 * 0.033,
            duration_s=0.001 * (number % 31 + 1),
            output=output,
            worker=f"worker-{number % 8 + 1}",
        )
        sink.handle(UnitEnded(unit=unit, report=report))
    script.finish(sink, exit_code=2)
    sink.close()


def ending(number: int) -> tuple[Outcome, Output]:
    """Choose how a unit ends: 20 failures of one kind, a hostile one, a few more kinds."""
    if number == 4_242:
        hostile = Captured(head=HOSTILE.encode(), tail=b"the end", omitted_bytes=1_234)
        return Failed(message=HOSTILE), Output(stdout=hostile, stderr=hostile)
    if number % 500 == 0:
        sorry = Captured(head=b"cannot connect to needle\n")
        return Failed(message=f"/data/{number}.csv: full"), Output(stderr=sorry)
    if number == 77:
        return TimedOut(limit_s=5), Output()
    if number % 10 == 0:
        return Skipped(because="exists"), Output()
    return Ok(changed=number % 3 == 0), Output(stdout=Captured(head=b"%d bytes\n" % number))


def found(program: str) -> str:
    """Return where a program is; selenium would look for it in the network."""
    path = shutil.which(program)
    assert path is not None, f"{program} is not installed"
    return path


class Browser:
    """A browser and what is asked of it."""

    def __init__(self, directory: Path) -> None:
        options = Options()
        for flag in (*FLAGS, f"--user-data-dir={directory / 'profile'}"):
            options.add_argument(flag)
        options.binary_location = found("chromium")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(found("chromedriver")))

    def open(self, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Load a page anew, with nothing kept of the one before."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for log in ("browser", "performance"):
            self.driver.get_log(log)  # type: ignore[no-untyped-call]  # as selenium ships it
        self.driver.get(path.as_uri())

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def column(self, name: str) -> list[str]:
        """Return what stands in a column of the table."""
        cells: list[str] = self.script(
            "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)",
            f"td.of-{name}",
        )
        return cells

    @property
    def result(self) -> str:
        """How many units are shown, as the page says it."""
        return self.one(".result").text

    def complaints(self) -> list[str]:
        """Return what stands in the console."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def requests(self) -> set[str]:
        """Return the addresses that were asked for since the page was opened."""
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }

    def picture(self) -> list[bytes]:
        """Return the rows of pixels that are seen."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        return rows_of_png(base64.b64decode(shot["data"]))


def rows_of_png(png: bytes) -> list[bytes]:
    """Take a picture apart as far as it takes to see whether anything is on it: filtered rows."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, height = 8, b"", 0
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            (height,) = struct.unpack_from(">I", body, 4)
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    pixels = zlib.decompress(packed)
    width = len(pixels) // height
    return [pixels[row * width : (row + 1) * width] for row in range(height)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    long_run(path)
    return path


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    """The page, opened anew; whatever a test does with it, it complains of nothing."""
    browser.open(report)
    yield browser
    assert browser.complaints() == []
    assert browser.requests() - {"data:,"} == {report.as_uri()}
    assert browser.script("return typeof window.owned") == "undefined"


def test_failures_come_first_and_all_units_are_counted(page: Browser) -> None:
    assert page.result == "10 000 units"
    status = page.column("status")
    assert status[:21] == ["failed"] * 21
    assert status[21] == "timed out"
    assert "All 10 000 units are listed." in page.one("#units").text


def test_chips_show_only_what_ended_so(page: Browser) -> None:
    chip = page.one("[data-chip=failed]")
    chip.click()
    assert (page.result, chip.get_attribute("aria-pressed")) == (
        "21 of 10 000 listed units",
        "true",
    )
    page.one("[data-chip=timed_out]").click()
    assert page.result == "22 of 10 000 listed units"
    chip.click()
    assert page.column("item") == ["/data/77.csv"]


def test_search_looks_at_items_messages_and_outputs(page: Browser) -> None:
    search = page.one("#search")
    for words, expected in (
        ("/data/4242.csv", 1),
        ("NEEDLE connect", 20),
        ("needle 9500", 1),
        ("nowhere to be found", 0),
    ):
        search.clear()
        search.send_keys(words)
        assert page.result == f"{expected} of 10 000 listed units", words


def test_a_task_can_be_chosen(page: Browser) -> None:
    page.script(
        "const task = document.getElementById('task'); task.value = '1';"
        "task.dispatchEvent(new Event('change'))"
    )
    assert page.result == "1 000 of 10 000 listed units"


def test_heads_sort_and_say_so(page: Browser) -> None:
    head = page.one("th.of-took")
    for order, expected in (("ascending", ["1 ms"]), ("descending", ["31 ms"])):
        head.find_element(By.TAG_NAME, "button").click()
        assert head.get_attribute("aria-sort") == order
        assert page.column("took")[:200] == expected * 200
    page.one("th.of-item button").click()
    assert page.column("item")[:3] == ["/data/1.csv", "/data/2.csv", "/data/3.csv"]
    assert [one.get_attribute("aria-sort") for one in page.all("th[aria-sort]")].count("none") == 7


def test_a_failure_opens_with_its_output_by_mouse_and_by_keyboard(page: Browser) -> None:
    opener = page.one("button.opener")
    opener.click()
    assert opener.get_attribute("aria-expanded") == "true"
    details = page.one("tr.details")
    assert "cannot connect to needle" in details.text
    assert "Show the 20 units with this output" in details.text
    opener.send_keys(Keys.ENTER)
    assert page.all("tr.details") == []
    opener.send_keys(Keys.ARROW_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    rows = page.all("table.units tbody tr")
    assert [row.get_attribute("class") for row in rows[:3]] == ["", "open", "details"]


def test_equal_outputs_are_folded(page: Browser) -> None:
    page.one(".tools button").click()
    first = page.one("details.fold").text
    assert "failed 20 units /data/500.csv, /data/1000.csv, " in first
    assert "and 8 more" in first
    assert first.count("cannot connect to needle") == 1


def test_a_group_of_failures_leads_to_its_units(page: Browser) -> None:
    page.one("button[data-group]").click()
    assert page.result == "18 of 10 000 listed units"
    page.one(".found button").click()
    assert page.result == "10 000 units"


def test_the_timeline_has_a_lane_for_each_worker_and_leads_to_units(page: Browser) -> None:
    labels = page.script(
        "return [...document.querySelectorAll('#timeline text.lane[text-anchor]')]"
        ".map((one) => one.firstChild.textContent)"
    )
    assert labels == [f"worker-{number}" for number in range(1, 9)]
    assert 500 < len(page.all("rect.span")) <= 5_000
    # Failures have a shape of their own.
    assert 15 <= len(page.all("path.mark")) <= 22
    timeline = page.one("#timeline svg")
    timeline.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert page.one("#readout").text.startswith("worker-2, +")
    timeline.send_keys(Keys.ENTER)
    assert re.fullmatch(r"\d+ of 10 000 listed units", page.result)
    assert set(page.column("worker")) == {"worker-2"}


def fleet_run(path: Path) -> None:
    """Write the report of a run on twelve hosts, one of which fails."""
    sink, script = HtmlSink(path), Script()
    script.start(sink, ("reload", "reload the front ends"))
    for at in range(1, 13):
        outcome = Failed(message="no") if at == 10 else Ok(changed=True)
        script.end(sink, outcome, task_id="reload", host=f"web{at}.example.org")
    script.finish(sink, exit_code=2)
    sink.close()


def test_hosts_have_a_column_a_filter_and_a_lane_each(browser: Browser, tmp_path: Path) -> None:
    fleet_run(tmp_path / "fleet.html")
    browser.open(tmp_path / "fleet.html")
    assert browser.column("host")[0] == "web10.example.org"
    labels = browser.script(
        "return [...document.querySelectorAll('#timeline text.lane[text-anchor]')]"
        ".map((one) => one.firstChild.textContent)"
    )
    assert labels == [f"web{at}.example.org" for at in range(1, 13)]
    browser.script(
        "const host = document.getElementById('host'); host.value = 'web3.example.org';"
        "host.dispatchEvent(new Event('change'))"
    )
    assert (browser.result, browser.column("host")) == (
        "1 of 12 listed units",
        ["web3.example.org"],
    )
    browser.one("#timeline svg").send_keys(Keys.ARROW_RIGHT, Keys.ENTER)
    assert browser.complaints() == []


def test_where_there_are_no_hosts_the_page_does_not_speak_of_them(page: Browser) -> None:
    assert page.all("th.of-host") == []
    assert page.all("#host") == []


def test_pages_turn(page: Browser) -> None:
    def buttons() -> dict[str, WebElement]:
        return {one.text: one for one in page.all(".pager button")}

    assert len(page.column("item")) == 200
    assert not buttons()["Previous"].is_enabled()
    buttons()["Next"].click()
    assert "201–400 of 10 000" in page.one(".pager").text
    buttons()["Last"].click()
    assert "9 801–10 000 of 10 000" in page.one(".pager").text
    assert not buttons()["Next"].is_enabled()


def test_hostile_output_is_only_text(page: Browser) -> None:
    page.one("#search").send_keys("4242.csv")
    page.one("button.opener").click()
    seen = page.one("tr.details").text
    assert "<script>window.owned=1</script><img src=x onerror=" in seen
    assert r"\x1b]0;owned\x07\x1b[2J\u2028" in seen
    assert "1 234 bytes are left out here" in seen
    assert page.all("img, main script, main svg[onload]") == []
    assert page.script("return document.title") == "nightly: 21 failed, 1 timed out"


def test_what_the_page_never_does_would_be_refused_and_seen(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.script(
        "try { document.body.innerHTML = '<b>'; } catch (error) { console.error('caught'); }"
        "const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x.png';"
        "const style = document.createElement('style'); style.textContent = '* { top: 0 }';"
        "document.body.append(image, style);"
    )

    seen: list[str] = []

    def four_complaints() -> bool:
        seen.extend(browser.complaints())
        return len(seen) >= 4

    wait_until(four_complaints, 10, "everything is refused")
    for words in ("requires 'TrustedHTML'", "Applying inline style violates", "img-src data:"):
        assert words in " ".join(seen)
    assert any("x.png" in address for address in browser.requests())


def test_light_and_dark_are_followed_and_something_is_seen(browser: Browser, report: Path) -> None:
    darkness = {}
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        colour = browser.script("return getComputedStyle(document.body).backgroundColor")
        darkness[scheme] = sum(map(int, re.findall(r"\d+", colour)))
        assert len(set(browser.picture())) > 300, "many different rows of pixels"
    # Of 765, red, green and blue together.
    assert darkness["dark"] < 120
    assert darkness["light"] > 600


def test_letters_stand_out_from_what_is_behind_them_in_both_schemes(
    browser: Browser, report: Path
) -> None:
    for scheme in ("light", "dark"):
        browser.open(report, scheme=scheme)
        pairs = browser.script(CONTRASTS)
        assert len(pairs) > 10
        weak = {name: ratio for name, ratio in pairs.items() if ratio < 4.5}
        assert weak == {}, scheme


#: WCAG 2.2, 1.4.3: the ratio of every colour of text in use to the colour behind it.
CONTRASTS = """
const part = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) =>
  0.2126 * part(r / 255) + 0.7152 * part(g / 255) + 0.0722 * part(b / 255);
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = numbers(getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = {};
for (const element of document.querySelectorAll("main *")) {
  const has = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  if (!has || element.closest("svg, script, noscript, [hidden], :disabled")) continue;
  const letters = numbers(getComputedStyle(element).color);
  const ground = behind(element);
  const [a, b] = [light(letters), light(ground)].sort((x, y) => y - x);
  const name = element.className || element.tagName;
  found[`${name} ${letters} on ${ground}`] = (a + 0.05) / (b + 0.05);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_sticks_out_and_rows_can_be_read(
    browser: Browser, report: Path, scheme: str
) -> None:
    browser.open(report, width=360, scheme=scheme)
    assert browser.script("return document.documentElement.scrollWidth") <= 360
    browser.one("[data-chip=failed]").click()
    assert browser.one("td.of-item").is_displayed()
    assert browser.one("#order").is_displayed()
    assert len(set(browser.picture())) > 200


def test_without_scripts_recap_and_failures_can_be_read(browser: Browser, report: Path) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(report)
        seen = browser.one("body").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for words in (
        "21 failed, 1 timed out",
        "cannot connect to needle",
        "1 234 bytes are left out here",
        "Timeline and table need JavaScript.",
    ):
        assert words in seen


# ---- the command line -----------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


JOB = """
name: nightly
tasks:
  - id: say
    foreach: [a, b, c]
    run: echo "<b>"{{ item }}"</b>"; test {{ item }} != b
"""


@pytest.mark.parametrize(
    ("words", "items"),
    [
        (["run", "job.yml"], ["a", "b", "c"]),
        (["each", "--argv", "--keep-order", "echo", ":::", "x", "y"], ["x", "y"]),
        (["do", "mkdir", "made"], [""]),
    ],
)
def test_every_command_that_runs_something_writes_a_report(
    program: Program, words: Sequence[str], items: list[str]
) -> None:
    program.job(JOB)
    command, *rest = words
    program.run(command, "--report", "r.html", "--procs", "1", *rest)

    page = ReportPage(program.dir / "r.html")
    assert sorted(page.items) == items
    assert (program.dir / "r.html").stat().st_mode & 0o777 == 0o600


def test_a_report_of_a_real_run_opens_without_complaint(program: Program, browser: Browser) -> None:
    ended = program.run(program.job(JOB), "--report", "r.html", "--procs", "2")
    assert ended.code == 2

    browser.open(program.dir / "r.html")
    browser.one("button.opener").click()
    assert "<b>b</b>" in browser.one("tr.details").text
    assert browser.column("worker")[0].startswith("worker-")
    assert browser.complaints() == []


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    program: Program,
) -> None:
    program.job("tasks:\n  - touch: ran\n")
    ended = program.run("job.yml", "--report", "missing/r.html")

    assert ended.code == 64
    assert ended.err.startswith(
        f"batchrun: --report: missing/r.html: there is no directory {program.dir}/missing; make"
    )
    assert not (program.dir / "ran").exists()


def test_an_interrupted_run_leaves_its_report(program: Program) -> None:
    program.job("tasks:\n  - run: touch began; kill -TERM $PPID; sleep 30\n    timeout: 50s\n")
    ended = program.run("job.yml", "--report", "r.html", "--procs", "0", "--grace", "0s")

    assert ended.code == 143
    assert "stopped by SIGTERM" in ReportPage(program.dir / "r.html").words
