"""The answer in words and as one table: methods against the control, over the settings that are complete."""

from collections.abc import Sequence
from html import escape

from analysis.page.charts import interval_text, intervals, profiles
from analysis.page.rows import Cell, Content, Setting
from analysis.page.svg import slug

SHOWN = 2  # settings that are described while none is complete


def answer(content: Content) -> str:
    complete = [setting for setting in content.settings if setting.complete]
    return _verdict(content, complete) if complete else _description(content)


def sense(cell: Cell) -> str:
    """`better`, `worse`, or empty where the difference is not distinguishable from none, or there is no test."""
    return next((word for word in ("better", "worse") if cell.word.startswith(word)), "")


def condition(cell: Cell) -> str:
    """`on this test set` where the word holds for that alone."""
    return cell.word.partition(", ")[2]


def _verdict(content: Content, settings: Sequence[Setting]) -> str:
    """Sentences, the matrix of differences, and what holds over all settings."""
    control, count = f"<code>{escape(content.control)}</code>", len(settings)
    titles = "; ".join(f"<strong>{escape(_name(s))}</strong> ({escape(s.title)})" for s in settings)
    found = {word: _methods_with(settings, word) for word in ("better", "worse")}
    line = content.methods.get(content.control, "")
    parts = [
        f"<p>Complete: {titles}. A method competes with weights and activations of ±1, and is compared with {control}"
        f"{f' ({escape(line)})' if line else ''}.</p>",
        '<ul class="answer">',
    ]
    for word, methods in found.items():
        said = (
            "; ".join(f"<strong>{escape(key)}</strong> {_where(places, count)}" for key, places in methods)
            or "no method"
        )
        parts.append(f'<li><span class="word {word}">{word.capitalize()}</span> than {control}: {said}.</li>')
    decided = {key for methods in found.values() for key, _ in methods}
    if rest := sorted({c.key for s in settings for c in s.cells if c.word and not sense(c)} - decided):
        parts.append(f"<li>Not distinguishable from {control} in any: {escape(', '.join(rest))}.</li>")
    parts.append("</ul>")
    if conditions := sorted({condition(c) for s in settings for c in s.cells if sense(c) and condition(c)}):
        said = " or ".join(f"“{escape(text)}”" for text in conditions)
        parts.append(f"<p>{said}: another test set of the same size could show no difference.</p>")
    parts.append(f"{_matrix(content, settings)}{_overall(content)}{_unfinished(content)}")
    return "".join(parts)


def _name(setting: Setting) -> str:
    return setting.suite or setting.title


def _methods_with(settings: Sequence[Setting], word: str) -> list[tuple[str, list[tuple[Setting, Cell]]]]:
    """Methods with this word anywhere, each with where it was; those of most settings first, without condition."""
    found: dict[str, list[tuple[Setting, Cell]]] = {}
    for setting in settings:
        for cell in setting.cells:
            if cell.difference and sense(cell) == word:
                found.setdefault(cell.key, []).append((setting, cell))
    return sorted(found.items(), key=lambda item: (-sum(not condition(c) for _, c in item[1]), -len(item[1]), item[0]))


def _where(places: Sequence[tuple[Setting, Cell]], count: int) -> str:
    """`by 0.41 points on digits`, or `in 3 of 5 settings, by 0.41 to 1.10 points`, with the condition of the word."""
    gaps = sorted(abs(c.difference.value) for _, c in places if c.difference)
    conditions = [text for _, c in places if (text := condition(c))]
    if len(places) == 1:
        return ", ".join([f"by {gaps[0]:.2f} points on {escape(_name(places[0][0]))}", *map(escape, conditions)])
    held = f" ({len(conditions)} of them {escape(conditions[0])})" if conditions else ""
    return f"in {len(places)} of {count} settings{held}, by {gaps[0]:.2f} to {gaps[-1]:.2f} points"


def _matrix(content: Content, settings: Sequence[Setting]) -> str:
    """Methods × settings: difference to the control, its interval and word. Those better in most settings first."""
    cells = {(c.key, place): c for place, s in enumerate(settings) for c in s.cells if c.difference}
    senses = {key: [sense(c) for (k, _), c in cells.items() if k == key] for key, _ in cells}
    head = "".join(f'<th scope="col">{escape(_name(s))}</th>' for s in settings)
    rows = []
    for key in sorted(senses, key=lambda k: (senses[k].count("worse") - senses[k].count("better"), k)):
        found = [cells.get((key, place)) for place in range(len(settings))]
        columns = "".join(f"<td>{difference(cell) if cell else ''}</td>" for cell in found)
        rows.append(f'<tr><th scope="row"><i class="dot {slug(key)}"></i>{escape(key)}</th>{columns}</tr>')
    caption = f"Difference of test error to {content.control}, in points; negative is better. {content.interval_note}"
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="Differences to the control"><table class="matrix">'
        f"<caption>{escape(caption)}</caption><thead><tr>"
        f'<th scope="col">Method</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def difference(cell: Cell) -> str:
    """`−0.31 better` with its interval below, as the tables show it; empty where nothing was tested."""
    if cell.difference is None:
        return ""
    d, word = cell.difference, sense(cell)
    said = f' <span class="word {word}">{word}</span>' if word else ""
    value, _, limits = interval_text(d, sign=True).partition(" (")
    said += f"<small>{limits.removesuffix(')')}</small>" if limits else ""
    aside = condition(cell) if word else cell.word
    return f"{value}{said}" + (f"<small>{escape(aside)}</small>" if aside else "")


def _overall(content: Content) -> str:
    """Interquartile means, probabilities of improvement and profiles over all complete settings."""
    if not content.overall:
        return ""
    control = content.control
    ratio = [(o.key, o.ratio, "") for o in sorted(content.overall, key=lambda o: o.ratio.value)]
    better = [(o.key, o.better, "") for o in sorted(content.overall, key=lambda o: o.ratio.value) if o.better]
    charts = intervals(
        "overall", f"Test error relative to {control}", ratio, "interquartile mean of error / control's", 1
    )
    title = f"How likely a replicate is better than one of {control}"
    charts += intervals("better", title, better, "probability of improvement", 0.5) if better else ""
    if lines := {o.key: o.profile for o in content.overall if o.profile}:
        title = f"Share of replicates whose error is at most r times {control}'s"
        charts += profiles("profiles", title, lines, "r")
    return f'<h3>Over all complete settings</h3><div class="charts">{charts}</div>'


def _description(content: Content) -> str:
    """What there is while no setting is complete: no words of better or worse."""
    parts = [
        "<p class='notice'><strong>There is no verdict yet.</strong> A setting is published when all methods have all "
        "their replicates, and no setting is complete. What follows describes the records; it tests nothing.</p>",
        _unfinished(content),
    ]
    charts = []
    for place, setting in enumerate(s for s in content.settings if any(c.count > 1 for c in s.cells)):
        if place == SHOWN:
            break
        rows = [(c.key, c.error, "" if c.competitor else "(real)") for c in setting.cells]
        charts.append(
            intervals(
                f"described-{place}",
                f"{setting.title}: test error",
                rows,
                "test error, %, and 95 % interval over seeds",
            )
        )
    if charts:
        parts.append(
            "<p>One search and one split for each method, so the intervals cover only the seeds and are too narrow for "
            "a verdict. “(real)” marks methods with real weights or activations.</p>"
            f'<div class="charts">{"".join(charts)}</div>'
        )
    return "".join(parts)


def _unfinished(content: Content) -> str:
    if not content.unfinished:
        return ""
    items = "".join(
        f"<li><code>{escape(suite)}</code>: {escape(progress)}</li>" for suite, progress in content.unfinished
    )
    return f"<p>Under way, and not in the answer:</p><ul>{items}</ul>"
