"""A Chromium that shows a page of made-up content."""

import pytest

from analysis.page.render import page
from tests.analysis.page.browser import PROGRAM, Browser
from tests.analysis.page.made_up import content


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The browser with the page open; one for all tests of a file, each of which opens the page anew."""
    if PROGRAM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page(content()))
    with Browser() as browser:
        browser.path = path
        yield browser


@pytest.fixture
def browser(shown):
    """The page as it is when it has just been opened, on a desktop."""
    shown.show(1280)
    shown.requests.clear()
    shown.problems.clear()
    shown.open(shown.path)
    yield shown
    assert shown.problems == []
    assert shown.requests == [shown.path.as_uri()]  # the page itself, and nothing else
