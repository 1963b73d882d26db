"""A table as Markdown, LaTeX and CSV, with characters that each must escape."""

import pandas as pd

from analysis.formats import csv, latex, markdown


def test_renderings():
    table = pd.DataFrame({"a|b": ["1 ± 2", "x_y"], "%": ["", "3"]})
    assert markdown(table) == "| a\\|b | % |\n| --- | --- |\n| 1 ± 2 |  |\n| x_y | 3 |\n"
    assert csv(table) == "a|b,%\n1 ± 2,\nx_y,3\n"
    body = latex(table)
    assert body.splitlines()[2] == r"a|b & \% \\"
    assert body.splitlines()[4:6] == [r"1 $\pm$ 2 &  \\", r"x\_y & 3 \\"]
