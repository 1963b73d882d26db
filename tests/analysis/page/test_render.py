"""The whole page: its size, that nothing in it leads elsewhere, and what it says with and without complete settings."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from analysis.page.answer import sense
from analysis.page.render import page
from analysis.page.rows import Content, Curve
from tests.analysis.page.made_up import METHODS, REFERENCES, cell, content

LIMIT = 400_000  # bytes
VOID = {"meta", "link", "input", "br"}


@pytest.fixture(scope="module")
def full() -> str:
    return page(content())


def test_five_complete_suites_of_fourteen_methods_fit(full):
    assert len(full.encode()) < LIMIT


def test_the_same_content_gives_the_same_page(full):
    assert page(content()) == full


class Tags(HTMLParser):
    """The tags that are open, and all attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.attributes, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def tags(full) -> Tags:
    parser = Tags()
    parser.feed(full)
    return parser


def test_tags_are_closed_and_ids_are_unique(tags):
    assert tags.open == []
    assert len(set(tags.ids)) == len(tags.ids)


def test_nothing_is_loaded_from_elsewhere(tags, full):
    links = [value for _, name, value in tags.attributes if name in ("href", "src", "action", "srcset")]
    assert links
    assert all(link.startswith(("#", "data:,", "../")) for link in links)
    assert "url(http" not in full
    assert "@import" not in full


def test_references_within_the_page_lead_somewhere(tags):
    wanted = {value[1:] for _, name, value in tags.attributes if name == "href" and value.startswith("#")}
    wanted |= {value for _, name, value in tags.attributes if name in ("aria-labelledby", "aria-controls")}
    assert wanted <= set(tags.ids)


def text_of(html: str, section: str) -> str:
    found = re.search(rf'<section id="{section}".*?</section>', html, re.S)
    assert found
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", found[0], flags=re.S)).split())


def test_the_answer_comes_first_and_counts_settings(full):
    assert full.index('id="answer"') < full.index('id="table"') < full.index('id="charts"')
    text = text_of(full, "answer")
    settings = content().settings
    for word in ("better", "worse"):
        found = [c.key for s in settings for c in s.cells if c.difference and sense(c) == word]
        for key in set(found):
            count = found.count(key)
            assert (f"{key} in {count} of 5 settings, by" if count > 1 else f"{key} by ") in text
    assert "Under way, and not in the answer" in text


def test_a_gap_is_told_with_its_sign_interval_and_word():
    cells = [replace(c, difference=None) for c in content().settings[0].cells if c.key != "bop"]
    bop = cell("bop", "digits", 0, 10)
    better = replace(bop, difference=replace(bop.difference, value=-0.5, low=-0.9, high=-0.1), word="better than ste")
    text = text_of(
        page(replace(content(), settings=[replace(content().settings[0], cells=[*cells, better])])), "answer"
    )
    assert "Better than ste : bop by 0.50 points on digits." in text
    assert "bop −0.50 better −0.90 to −0.10" in text
    assert "Worse than ste : no method." in text


def test_a_word_with_a_condition_shows_it():
    bop = replace(cell("bop", "digits", 0, 10), word="worse than ste, on this test set")
    html = page(
        replace(content(), settings=[replace(content().settings[0], cells=[cell("ste", "digits", 0, 10), bop])])
    )
    assert '<span class="word worse">worse</span>' in html
    assert "<small>on this test set</small>" in html
    assert f"bop by {bop.difference.value:.2f} points on digits, on this test set." in text_of(html, "answer")
    assert "Difference to ste (* on this test set)" in html
    assert "worse*" in html


def test_those_that_are_worse_without_a_condition_come_first():
    bop, pbop = (replace(cell(m, "digits", 0, 10), word="worse than ste") for m in ("bop", "pbop"))
    cells = [cell("ste", "digits", 0, 10), replace(bop, word="worse than ste, on this test set"), pbop]
    text = text_of(page(replace(content(), settings=[replace(content().settings[0], cells=cells)])), "answer")
    assert text.index("pbop by ") < text.index("bop by ", text.index("pbop by ") + 5)


def test_runs_are_counted_where_they_are_shown():
    small = replace(content(), settings=[replace(content().settings[0], cells=content().settings[0].cells[:2])])
    assert "2 methods that train such networks are compared: 24 runs in 1 setting," in page(small)


def test_a_curve_without_a_value_above_zero_is_left_out():
    flat = replace(cell("bop", "digits", 0, 10), error_curve=Curve([1, 2], [0.0, 0.0]), search_curve=Curve([1], [0.0]))
    cells = [replace(flat, key=key, method=key) for key in ("ste", "bop")]
    html = page(replace(content(), settings=[replace(content().settings[0], cells=cells)]))
    assert "Validation error while training" not in html
    assert "What a search finds" not in html


def test_a_difference_without_an_interval_has_no_word():
    cells = [cell(method, "digits", 0, 10) for method in ("ste", "bop", "pbop")]
    cells[1] = replace(cells[1], word="", difference=replace(cells[1].difference, low=float("nan"), high=float("nan")))
    cells[2] = replace(cells[2], word="not distinguishable")
    text = text_of(page(replace(content(), settings=[replace(content().settings[0], cells=cells)])), "answer")
    assert "Not distinguishable from ste in any: pbop." in text


def described() -> Content:
    settings = [
        replace(
            s, complete=False, suite="", cells=[replace(c, difference=None, word="", unit="seeds") for c in s.cells]
        )
        for s in content().settings
    ]
    return replace(content(), settings=settings, overall=())


def test_without_a_complete_setting_there_is_no_verdict():
    text = text_of(page(described()), "answer")
    assert "There is no verdict yet" in text
    assert "cifar10_medium : not complete: 3 of 42 runs" in text
    assert not re.search(r"\b(better|worse)\b", text.replace("Which method is better than", ""))


def test_a_page_without_records_can_be_made():
    empty = Content(settings=[], overall=[], methods={})
    assert "There is no verdict yet" in page(empty)


def test_a_cell_all_of_whose_runs_failed_says_so():
    nan = float("nan")
    lost = replace(cell("bop", "digits", 0, 10), difference=None, count=0, failed=12, runs=[], error_curve=None,
                   flip_curve=None, search_curve=None)  # fmt: skip
    lost = replace(lost, error=replace(lost.error, value=nan, low=nan, high=nan))
    html = page(
        replace(described(), settings=[replace(described().settings[0], cells=[cell("ste", "digits", 0, 10), lost])])
    )
    assert "all failed" in html
    assert "nan" not in html.lower()


def test_text_from_records_is_escaped(full):
    assert "trains &lt;binary&gt; weights &amp; activations" in full
    assert "trains <binary>" not in full


def test_references_have_no_difference_and_competitors_have(full):
    rows = re.findall(r'<tr data-i="\d+">.*?</tr>', full)
    assert len(rows) == 5 * len(METHODS)
    for row in rows:
        key = re.search(r'class="name">([^<]+)<', row)[1]
        assert ("real weights or activations" in row) == (key in REFERENCES)
        assert bool(re.search(r"<td>[+−]?\d\.\d\d <span|<small>not distinguishable", row)) == (
            key not in (*REFERENCES, "ste")
        )
