"""Rebuilds analysis/tables, figures and page from the records and published.csv: `python -m analysis`. Or tells the
answer of one suite: `python -m analysis suite=digits`. Or of one method how it compares, where it is weak, and what to
run next: `python -m analysis method=bop`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.registry import METHODS
from configs.settings import UserError, unknown

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE.parent / "results", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=HERE, help="where tables/, figures/ and page/ go: %(default)s")
    parser.add_argument("--tuned", type=Path, help="tuned files of suites (default: configs/tuned)")
    parser.add_argument("--tables-only", action="store_true", help="draw no figures")
    parser.add_argument("only", nargs="?", metavar="suite=NAME | method=NAME", help="only print the report of it")
    args = parser.parse_args(arguments)
    try:
        kind, name = _kind_and_name(args.only) if args.only else ("", "")
        # pandas, SciPy and seaborn take seconds to import: not for --help, and not for a mistyped name
        if not kind:
            from analysis.rebuild import rebuild

            rebuild(args.results, args.out, args.tables_only, args.tuned)
            return 0
        from analysis import method_report, suite_report
        from analysis.material import gather

        material = gather(args.results, tuned=args.tuned)
        if kind == "suite":
            print(suite_report.report(material, name))
        else:
            print(method_report.report(material, name, args.results / "trials"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _kind_and_name(word: str) -> tuple[str, str]:
    """`method` and `bop` of `method=bop`."""
    kind, _, name = word.partition("=")
    if kind not in ("suite", "method") or not name:
        raise UserError(f"'{word}' is not understood: python -m analysis, … suite=NAME, or … method=NAME")
    if kind == "method" and name not in METHODS:
        raise unknown("method", name, METHODS)
    return kind, name


if __name__ == "__main__":
    sys.exit(main())
