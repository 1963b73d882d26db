"""Rebuilds analysis/tables, figures and page from the records and published.csv: `python -m analysis`. Or tells of one
method how it compares, where it is weak, and what to run next: `python -m analysis method=bop`."""

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
    parser.add_argument("method", nargs="?", metavar="method=NAME", help="only print the report of one method")
    args = parser.parse_args(arguments)
    try:
        method = _name(args.method) if args.method else None
        # pandas, SciPy and seaborn take seconds to import: not for --help, and not for a mistyped name
        if method:
            from analysis.material import gather
            from analysis.method_report import report

            print(report(gather(args.results, tuned=args.tuned), method, args.results / "trials"))
            return 0
        from analysis.rebuild import rebuild

        rebuild(args.results, args.out, args.tables_only, args.tuned)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _name(word: str) -> str:
    """`bop` of `method=bop`."""
    key, _, name = word.partition("=")
    if key != "method":
        raise UserError(f"'{word}' is not understood: python -m analysis, or python -m analysis method=NAME")
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return name


if __name__ == "__main__":
    sys.exit(main())
