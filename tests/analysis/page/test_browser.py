"""The page in a real Chromium: sorting, filtering, opening a cell, the keyboard, and no request but for the page."""

import shlex

import pytest

from analysis.__main__ import HERE
from tests.analysis.page.made_up import METHODS, SUITES, content

pytestmark = pytest.mark.slow

SHOWN = "[...document.querySelectorAll('#cells tbody tr[data-i]')].filter(row => !row.hidden)"
SUITE_CELLS = [(setting.suite, cell) for setting in content().settings for cell in setting.cells]
CELLS = [cell for _, cell in SUITE_CELLS]


def header(key: str) -> str:
    return f"document.querySelector('#cells [data-sort={key}]')"


def shown_cells(browser) -> list:
    """The cells of the rows that are visible, in their order."""
    return [CELLS[i] for i in browser.js(f"{SHOWN}.map(row => Number(row.dataset.i))")]


def fill(browser, name: str, value: str) -> None:
    browser.js(
        f"field = document.querySelector('#filters [name={name}]'); field.value = {value!r};"
        "field.dispatchEvent(new Event('input', {bubbles: true}))"
    )


def test_a_header_sorts_up_then_down_and_says_so(browser):
    browser.js(f"{header('error')}.click()")
    errors = [cell.error.value for cell in shown_cells(browser)]
    assert errors == sorted(c.error.value for c in CELLS)
    assert browser.js(f"{header('error')}.closest('th').ariaSort") == "ascending"
    browser.js(f"{header('error')}.click()")
    assert [cell.error.value for cell in shown_cells(browser)] == errors[::-1]
    assert browser.js("[...document.querySelectorAll('#cells th[aria-sort]')].map(th => th.ariaSort)") == [
        "none", "none", "descending", "none", "none", "none", "none", "none",
    ]  # fmt: skip


def test_what_was_not_compared_is_last_either_way(browser):
    compared = sum(cell.difference is not None for cell in CELLS)
    for sign in (1, -1):
        browser.js(f"{header('difference')}.click()")
        found = [cell.difference for cell in shown_cells(browser)]
        values = [round(sign * difference.value, 6) for difference in found[:compared]]
        assert values == sorted(values)
        assert not any(found[compared:])


def test_names_are_sorted_by_the_alphabet(browser):
    browser.js(f"{header('method')}.click()")
    assert [cell.key for cell in shown_cells(browser)[::5]] == sorted(METHODS)


def test_filters_hold_together(browser):
    fill(browser, "method", "bop")
    assert {cell.key for cell in shown_cells(browser)} == {"bop"}
    assert browser.js("document.getElementById('shown').textContent") == "5 of 70 rows"
    fill(browser, "setting", "1")
    second = list(SUITES)[1]
    assert shown_cells(browser) == [c for suite, c in SUITE_CELLS if (suite, c.key) == (second, "bop")]
    browser.js("document.querySelector('#filters [type=reset]').click(); new Promise(done => setTimeout(done))")
    assert len(shown_cells(browser)) == len(CELLS)


def test_typed_words_are_all_looked_for(browser):
    fill(browser, "text", "CIFAR worse")
    expected = [c for suite, c in SUITE_CELLS if suite == "cifar10_small" and c.word.startswith("worse")]
    assert shown_cells(browser) == expected
    assert expected
    fill(browser, "text", "no such word")
    assert shown_cells(browser) == []


def test_only_binary_nets_can_be_shown(browser):
    browser.js("document.querySelector('#filters [name=binary]').click()")
    assert shown_cells(browser) == [cell for cell in CELLS if cell.competitor]


def test_a_cell_opens_with_its_configuration_records_and_published_figures(browser):
    place = next(i for i, (suite, cell) in enumerate(SUITE_CELLS) if (suite, cell.key) == ("mnist", "bop"))
    button = f"document.querySelector('tr[data-i=\"{place}\"] .open')"
    browser.js(f"{button}.click()")
    assert browser.js(f"{button}.ariaExpanded") == "true"
    text = browser.js(f"document.getElementById('detail-{place}').innerText")
    assert "method.setting_3=0.3702" in text
    assert "net.setting_7=7" in text
    assert "mnist-s3002-0123456789" in text
    assert "Method 59" in text
    links = browser.js(f"[...document.querySelectorAll('#detail-{place} a')].map(a => a.getAttribute('href'))")
    assert links == [f"../../results/runs/bop/{run.run_id}.json" for run in CELLS[place].runs]
    browser.js(f"{button}.click()")
    assert browser.js(f"document.getElementById('detail-{place}')") is None


def test_details_move_and_hide_with_their_row(browser):
    browser.js("document.querySelectorAll('.open')[4].click()")
    browser.js(f"{header('speed')}.click()")
    assert browser.js("document.getElementById('detail-4').previousElementSibling.dataset.i") == "4"
    fill(browser, "text", "no such word")
    assert browser.js("document.getElementById('detail-4').hidden") is True


def test_the_keyboard_reaches_the_skip_link_and_sorts_and_opens(browser):
    browser.press("Tab")
    assert browser.js("document.activeElement.textContent") == "Skip to the answer"
    assert browser.js("document.activeElement.getBoundingClientRect().left") >= 0
    browser.js(f"{header('error')}.focus()")
    browser.press("Enter")
    assert browser.js(f"{header('error')}.closest('th').ariaSort") == "ascending"
    browser.js("document.querySelector('#cells .open').focus()")
    browser.press(" ")
    assert browser.js("document.activeElement.ariaExpanded") == "true"
    assert browser.js("document.activeElement.matches(':focus-visible')") is True
    assert browser.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_copied_command_is_that_of_the_record(browser):
    browser("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.js("document.querySelectorAll('.open')[0].click()")
    browser("Page.bringToFront")
    for place, run in ((0, 0), (3, 2)):  # in the row; in the details, of the third run
        button = "tr[data-i='0'] .copy" if run == 0 else "#detail-0 .copy"
        browser.js(
            f'document.querySelectorAll("{button}")[{max(0, place - 1)}].click(); new Promise(d => setTimeout(d))'
        )
        copied = browser.js("navigator.clipboard.readText()")
        assert sorted(shlex.split(copied)) == sorted(shlex.split(CELLS[0].runs[run].command))


def test_methods_are_pointed_out_in_all_charts(browser):
    browser.js("document.querySelector('.chip[data-key=bop]').click()")
    series = "[...document.querySelectorAll('#charts .series')]"
    wrong = "s => s.classList.contains('dim') === (s.dataset.key === 'bop')"
    assert browser.js(f"{series}.filter({wrong}).length") == 0
    assert browser.js("document.querySelector('.chip[data-key=bop]').ariaPressed") == "true"
    browser.js("document.querySelector('.chip[data-key=bop]').click()")
    assert browser.js("document.querySelectorAll('.dim').length") == 0


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, width):
    browser.show(width)
    browser.js("document.querySelectorAll('details').forEach(part => part.open = true)")
    browser.js("document.querySelectorAll('.open')[5].click()")
    assert browser.js("document.documentElement.scrollWidth") <= width


OVERLAP = """[...document.querySelectorAll('svg[role=img]')].map(svg => {
    const boxes = [...svg.querySelectorAll('.series text')].map(text => text.getBBox());
    return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.x < b.x + b.width && b.x < a.x + a.width
        && Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 4)).length;
})"""


def test_labels_of_lines_do_not_collide(browser):
    browser.js("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = browser.js(OVERLAP)
    assert len(found) > 20
    assert set(found) == {0}


@pytest.mark.parametrize("width", [360, 1280])
def test_the_committed_page_is_whole(browser, width):
    """What the records give, and not only what was made up."""
    path = HERE / "page" / "index.html"
    browser.show(width)
    browser.requests.clear()
    browser.open(path)
    browser.js("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert set(browser.js(OVERLAP)) == {0}
    browser.js("document.querySelectorAll('.open').forEach(button => button.click())")
    cells = browser.js("data.cells.length")
    assert browser.js("document.querySelectorAll('.detail').length") == cells > 30
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.requests == [path.as_uri()]
    browser.requests[:] = [browser.path.as_uri()]  # as the fixture expects it


def test_a_link_to_a_chart_opens_it(browser):
    name = browser.js("document.querySelector('#charts details').id")
    assert name.startswith("chart-")
    browser.js(f"location.hash = '{name}'; new Promise(done => addEventListener('hashchange', done, {{once: true}}))")
    assert browser.js(f"document.getElementById('{name}').open") is True


def test_dark_mode_has_its_own_colours(browser):
    background = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('.m-ste .line')).stroke"
    light = browser.js(background), browser.js(line)
    browser.show(1280, dark=True)
    dark = browser.js(background), browser.js(line)
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(22, 24, 27)"
    assert light[1] != dark[1]


def test_a_screen_reader_finds_headings_tables_and_images_with_names(browser):
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert [name for role, name in found if role == "heading"][:2] == [
        "Training binarized networks, compared", "Which method is better than ste?",
    ]  # fmt: skip
    assert ("main", "") in found
    assert sum(role in ("table", "grid") for role, _ in found) == 2
    images = [name for role, name in found if role in ("image", "img") and name]
    assert any(name.startswith("Test error relative to ste. ste 0.90") for name in images)
    assert sum(role == "rowheader" for role, _ in found) == len(CELLS) + len({c.key for c in CELLS if c.difference})
    buttons = [name for role, name in found if role == "button"]
    assert all(buttons)
    assert "Copy the command of bop" in buttons


def test_print_has_all_charts_and_no_controls(browser):
    browser.show(1000, media="print")
    assert browser.js("getComputedStyle(document.getElementById('filters')).display") == "none"
    assert browser.js("getComputedStyle(document.getElementById('shown')).display") != "none"  # 12 of 70 rows
    browser.js("dispatchEvent(new Event('beforeprint'))")
    assert browser.js("document.querySelectorAll('details:not([open])').length") == 0
    browser.js("dispatchEvent(new Event('afterprint'))")
    assert browser.js("document.querySelectorAll('details[open]').length") == 0
