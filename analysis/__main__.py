"""Rebuilds analysis/tables and analysis/figures from the records and published.csv: `python -m analysis`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.settings import UserError

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE.parent / "results", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=HERE, help="where tables/ and figures/ go (default: %(default)s)")
    parser.add_argument("--tuned", type=Path, help="tuned files of suites (default: configs/tuned)")
    parser.add_argument("--tables-only", action="store_true", help="draw no figures")
    args = parser.parse_args(arguments)
    from analysis.rebuild import rebuild  # pandas, SciPy and seaborn take seconds to import: not for --help

    try:
        rebuild(args.results, args.out, args.tables_only, args.tuned)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
