"""Published figures (results/published.csv) as test errors, and which methods stand beside which."""

from collections.abc import Sequence

import pandas as pd

from configs.registry import ROOT

PUBLISHED = ROOT / "results" / "published.csv"
# Table → (published tables, our methods beside them). A method with real activations is listed where the source has
# real activations.
SOURCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "binarynet": (("bnn-2016-table-1", "binarynet-table-1", "binarynet-table-2"), ("real", "binaryconnect", "ste")),
    "bop": (("bop-2019", "bop2nd-2021", "snowbench"), ("real", "ste", "bop", "bop2nd", "pbop")),
    "report": (("tf-bnn-report",), ("ste", "ste_shift")),
    "bernoulli": (("bernoulli-2023",), ("real", "ste", "bernoulli")),
    "bayesbinn": (("bayesbinn-2020", "bayesbinn-replication"), ("real", "binaryconnect", "bayesbinn")),
    "pbnet": (("pbnet-2018",), ("real", "ste", "pbnet")),
    "bnnplus": (("bnnplus-2018",), ("real", "ste", "bnnplus")),
    "xnornet": (("xnornet-2016", "birealnet-2018", "larq-zoo"), ("ste",)),
    "irnet": (("irnet-2020",), ("irnet",)),
    "recu": (("recu-2021",), ("recu",)),
    "reste": (("reste-2023",), ("reste",)),
}
NOTES = {  # source → what its table needs beside it
    "bernoulli": "The slides' net is `bernoulli_cnn`. On it `ste` has a lower error than `bernoulli`, the reverse of "
    "the slides' order; analysis/STUDIES.md says where that net loses accuracy.",
    "pbnet": "Ours is trained with cross-entropy. The figures without these words are of nets trained with a binary "
    "cross-entropy for each class behind a sign at the last layer, which is not built.",
}
ACCURACIES = ("test accuracy %", "top-1 %")
ERRORS = ("test error %", *ACCURACIES)


def published_errors(published: pd.DataFrame, tables: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows that are test errors or accuracies (ImageNet: top-1), of these tables, or of all. `error` is in %, or
    100 − accuracy."""
    rows = published[published["metric"].isin(ERRORS)]
    rows = rows if tables is None else rows[rows["table"].isin(tables)]
    value = rows["value"].astype(float)
    error = value.where(~rows["metric"].isin(ACCURACIES), 100 - value)
    return rows.assign(error=error)


def plain(datasets: pd.Series) -> pd.Series:
    """The data sets without what stands in brackets behind them: `ImageNet` for `ImageNet (Bi-Real)`."""
    return datasets.str.replace(r" \(.*", "", regex=True)
