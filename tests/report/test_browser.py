"""The page in a real browser, opened from disk with all network refused: `make browser`."""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.report.conftest import RunFolders

from receptive.console import new_console
from receptive.report import page as pages
from receptive.report.report import write_report

pytestmark = pytest.mark.browser

LR = "optimizer.lr"
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 360, "height": 740}
EVIL = "</script><img src=x onerror=alert(1)><b>&amp;"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that the environment variable CHROMIUM names."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no Chromium: apt-get install chromium, or CHROMIUM=/path/to/it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 25 runs, one of them failed, one with labels that are HTML."""
    folders = RunFolders(tmp_path_factory.mktemp("reports") / "sweep")
    folders.add_grid({LR: ["0.1", "0.01"], "act": ["relu", "elu"]}, seeds=3, epochs=5, pictures=("worst", "history"))
    folders.add_grid({LR: ["0.001"], "act": ["relu", "elu", "tanh", EVIL]}, seeds=3)
    folders.add({LR: "0.5", "act": "relu"}, state="failed", error="the loss is NaN")
    return written(folders)


def written(folders: RunFolders) -> Path:
    stream = io.StringIO()
    write_report(folders.manifest(), new_console(file=stream, width=200))
    assert "left out, " not in stream.getvalue()
    return folders.root / "report.html"


class Opened:
    """A page, and all that went wrong in it."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.context.route("http*://**", lambda route: route.abort())
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self._requested(request.url))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
        )
        self.requests: list[str] = []
        self.page.goto(path.as_uri())
        expect(self.page.locator("html[data-ready=true]")).to_be_attached(timeout=30_000)

    def _requested(self, url: str) -> None:
        if not url.startswith("data:"):
            self.requests.append(url)

    def close(self) -> None:
        self.page.wait_for_timeout(100)
        self.context.close()
        assert self.faults == []
        assert [url.partition(":")[0] for url in self.requests] == ["file"]  # the page itself


@pytest.fixture
def opened(browser: Browser, sweep: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The sweep's page; no fault is left in the console in the end."""
    found = Opened(browser, sweep, **getattr(request, "param", {"viewport": WIDE}))
    yield found.page
    found.close()


def column(page: Page, title: str) -> list[str]:
    """The cells of a column of the shown runs."""
    heads = page.locator("#runs-table thead th").all_inner_texts()
    [place] = [number for number, head in enumerate(heads) if head.split() and head.split()[0] == title]
    rows = page.locator("#runs-table tbody tr:not([hidden])")
    return rows.locator(f"td:nth-child({place + 1})").all_inner_texts()


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_sorting_by_click_and_by_key(opened: Page) -> None:
    head = opened.locator("#runs-table th", has_text="val/accuracy")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    values = [float(text.split()[0]) for text in column(opened, "val/accuracy") if text]
    assert len(values) == 24 and values == sorted(values)
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    values = [float(text.split()[0]) for text in column(opened, "val/accuracy") if text]
    assert values == sorted(values, reverse=True)
    assert column(opened, "val/accuracy")[-1] == ""  # the failed run's
    opened.locator("#runs-table th", has_text="lr").get_by_role("button").press("Space")
    expect(head).to_have_attribute("aria-sort", "none")
    rates = [float(text) for text in column(opened, "lr")]
    assert rates == sorted(rates) and len(rates) == 25


def test_filters_narrow_the_runs(opened: Page) -> None:
    opened.get_by_label("search").fill("elu 0.01")
    expect(opened.locator("#count")).to_have_text("6 of 25 runs")
    opened.get_by_label("act", exact=True).select_option("elu")
    expect(opened.locator("#count")).to_have_text("3 of 25 runs")
    assert column(opened, "act") == ["elu"] * 3
    opened.get_by_role("button", name="Reset", exact=True).click()
    expect(opened.locator("#count")).to_have_text("25 of 25 runs")
    opened.get_by_label("state").select_option("failed")
    assert column(opened, "state") == ["failed"]
    opened.get_by_role("button", name="Reset", exact=True).click()
    opened.get_by_label("act", exact=True).select_option(EVIL)
    assert column(opened, "act") == [EVIL] * 3


def test_a_row_opens_what_tells_its_run_apart(opened: Page) -> None:
    opened.get_by_role("button", name="Details of 0.01, elu, 2").press("Enter")
    details = opened.locator("tr.details")
    expect(details).to_contain_text("optimizer.lr")
    expect(details).to_contain_text("test/accuracy")
    opened.locator("#runs-table th", has_text="seed").get_by_role("button").click()
    expect(details).to_have_count(0)
    button = opened.get_by_role("button", name="Details of 0.5, relu, 0")
    button.click()
    expect(details).to_contain_text("the loss is NaN")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(details).to_have_count(0)


def test_the_figures_are_drawn(opened: Page) -> None:
    for key, mark in {
        "curves": ".scatterlayer .trace path.js-line",
        "points": ".scatterlayer .point",
        "heat_map": ".heatmaplayer image",
        "parameter": ".scatterlayer .point",
        "lines": ".scatterlayer .trace path.js-line",
        "importance": ".barlayer .point",
        "confusion": ".heatmaplayer image",
    }.items():
        figure = opened.locator(f"figure[data-plot={key}]")
        assert figure.locator(mark).count() > 0, key
        assert figure.locator("svg[role=img]").get_attribute("aria-label")
        assert figure.locator("canvas").count() == 0


def test_another_metric_and_a_hidden_group(opened: Page) -> None:
    figure = opened.locator("figure[data-plot=curves]")
    figure.get_by_label("metric").select_option("val/loss")
    expect(figure.locator(".ytitle")).to_have_text("val/loss")
    lines = figure.locator(".scatterlayer .trace path.js-line")
    before = lines.count()
    button = figure.get_by_role("button", name="lr=0.1, act=relu")
    button.press("Space")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert lines.count() < before
    button.click()
    expect(lines).to_have_count(before)


def test_hovering_tells_the_labels(opened: Page) -> None:
    figure = opened.locator("figure[data-plot=points]")
    figure.scroll_into_view_if_needed()
    box = figure.locator(".scatterlayer .trace").last.locator(".point").first.bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(figure.locator(".hoverlayer .hovertext")).to_contain_text("act=")


def test_a_figure_can_be_saved(opened: Page) -> None:
    figure = opened.locator("figure[data-plot=heat_map]")
    figure.locator(".canvas").hover()
    with opened.expect_download() as download:
        figure.get_by_role("button", name="Download").click()
    assert b"<svg" in download.value.path().read_bytes()[:200]


def test_two_runs_are_compared(opened: Page) -> None:
    rows = opened.locator("#pair-rows")
    opened.get_by_label("first").select_option("0.1, relu, 0")
    opened.get_by_label("second").select_option("0.01, relu, 0")
    expect(rows.locator("tr", has_text="optimizer.lr")).to_contain_text("0.01")
    expect(rows).not_to_contain_text("model.width")
    opened.get_by_label("second").select_option("0.1, relu, 0")
    expect(rows).to_have_text("They do not differ.")


def test_the_theme_changes_page_and_figures(opened: Page) -> None:
    def colors() -> list[str]:
        return [
            str(opened.evaluate("getComputedStyle(document.body).backgroundColor")),
            str(opened.evaluate("getComputedStyle(document.querySelector('.ytitle')).fill")),
        ]

    light = colors()
    button = opened.locator("#theme")
    expect(button).to_have_text("Dark")
    button.press("Enter")
    expect(button).to_have_text("Light")
    assert colors() == ["rgb(22, 24, 28)", "rgb(228, 230, 234)"] and light[0] == "rgb(255, 255, 255)"
    button.click()
    assert colors() == light


@pytest.mark.parametrize("opened", [{"viewport": WIDE, "color_scheme": "dark"}], indirect=True)
def test_the_systems_theme_counts_first(opened: Page) -> None:
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    expect(opened.locator("#theme")).to_have_text("Light")


@pytest.mark.parametrize("opened", [{"viewport": NARROW}], indirect=True)
def test_a_narrow_screen_never_scrolls_sideways(opened: Page) -> None:
    assert overflow(opened) == 0
    opened.locator("#runs-table td.open button").first.click()
    opened.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    assert overflow(opened) == 0
    wide = opened.locator(".plot .main-svg").evaluate_all("all => Math.max(...all.map(one => one.clientWidth))")
    assert 200 < wide <= NARROW["width"]


def test_by_keyboard_the_content_is_one_step_away(opened: Page) -> None:
    opened.keyboard.press("Tab")
    skip = opened.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    opened.keyboard.press("Enter")
    expect(opened.locator("main")).to_be_focused()
    opened.keyboard.press("Tab")
    outline = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_pictures_are_within_the_page(opened: Page) -> None:
    image = opened.locator("#pictures img").first
    image.scroll_into_view_if_needed()
    expect(image).to_have_attribute("alt", "test images with the smallest F1: lr=0.1, act=relu, seed 2")
    opened.wait_for_function("document.querySelector('#pictures img').naturalWidth > 0")


def test_without_javascript_the_tables_stand(browser: Browser, sweep: Path) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False, viewport=NARROW)
    page = context.new_page()
    page.goto(sweep.as_uri())
    expect(page.locator("#runs-table tbody tr")).to_have_count(25)
    expect(page.locator("form").first).to_be_hidden()
    context.close()


def test_a_folder_where_nothing_is_done(browser: Browser, tmp_path: Path) -> None:
    folders = RunFolders(tmp_path / "sweep")
    folders.add(state="failed", epochs=0, error=EVIL)
    path = written(folders)
    found = Opened(browser, path)
    expect(found.page.locator("#figures")).to_contain_text("nothing to draw yet")
    found.close()
    assert path.stat().st_size < 5_500_000


def test_many_runs(browser: Browser, tmp_path: Path) -> None:
    """As many rows as the page may have, with long configs and pictures: it opens, and stays small enough."""
    folders = RunFolders(tmp_path / "sweep")
    config = {f"data.key_{number}": "x" * 60 for number in range(20)}
    for number in range(300):
        labels = {LR: str(0.1 / (1 + number // 20)), "model.width": str(number % 20)}
        folders.add(labels, score=0.9 - number / 500, config=config | {"note": f"{number} {'y' * 200}"}, epochs=2)
    path = written(folders)
    assert path.stat().st_size < pages.MOST_BYTES
    found = Opened(browser, path)
    found.page.get_by_label("search").fill("run-0299")
    expect(found.page.locator("#count")).to_have_text("1 of 300 runs")
    found.close()
