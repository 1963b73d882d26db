"""The table of a search: one line for each trial, kept beside the records. What a search found against its number of
trials, and how much a method's error depends on its settings, is drawn from it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from results.files import write_whole

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def write_trial_table(trials: Sequence[FrozenTrial], path: Path) -> None:
    """Columns: `trial`, `state` (complete, pruned, failed), `validation_error` in % (empty where the trial is not
    complete), and each tuned setting with its value. UserError where the file cannot be written."""
    names = list(trials[0].user_attrs["values"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "validation_error", *names])
    for number, trial in enumerate(trials):
        error = f"{trial.values[0]:.7g}" if trial.state == TrialState.COMPLETE else ""
        values = trial.user_attrs["values"]
        writer.writerow([number, STATES[trial.state], error, *(values[name] for name in names)])
    write_whole(path, text.getvalue())
