"""W&B dashboards: a workspace that compares methods, and finished records as runs for it.

python -m analysis.dashboard workspace --entity me              saves the view; workspace.py lists its panels
python -m analysis.dashboard upload --experiment mnist_mlp      sends records; runs with logger=wandb need no upload
"""

import argparse
import os
import sys
from pathlib import Path

from omegaconf import OmegaConf

from analysis.dashboard import BANDS, upload
from configs.registry import ROOT
from configs.settings import UserError


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        {"workspace": _workspace, "upload": _upload}[args.what](args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
    return 0


def _workspace(args: argparse.Namespace) -> None:
    from analysis.dashboard import workspace  # wandb_workspaces takes a second to import: not for --help

    view = workspace.workspace(args.entity or "", args.project, args.dataset, args.bands)
    if args.dry_run:
        print(workspace.workspace_text(view))
        return
    if os.environ.get("WANDB_MODE") in upload.OFFLINE:
        raise UserError("a workspace can only be saved online; unset WANDB_MODE, or look at it with --dry-run")
    upload.check_key("and shows the panels")
    if not args.entity:
        raise UserError("--entity is missing: the user or team of the project")
    try:
        print(f"saved: {view.save().url}")
    except Exception as error:
        raise UserError(f"W&B: {' '.join(str(error).split())}") from error


def _upload(args: argparse.Namespace) -> None:
    records = upload.select_records(args.results / "runs", args.method, args.dataset, args.experiment, args.files)
    target = f"{args.entity or '<your default entity>'}/{args.project}"
    if args.dry_run:
        print("\n".join(map(upload.record_line, records)))
        print(f"{len(records)} records would be sent to {target}")
        return
    for done in upload.upload(records, args.project, args.entity, args.folder):
        print(upload.record_line(done), flush=True)
    print(f"{len(records)} records sent to {target}")


def _parser() -> argparse.ArgumentParser:
    project = OmegaConf.load(upload.LOGGER).project
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--entity", help="user or team; upload: null is the account's default")
    common.add_argument("--project", default=project, help="default: %(default)s, as with logger=wandb")
    common.add_argument("--dry-run", action="store_true", help="print what would be sent; needs no account")
    parser = argparse.ArgumentParser(
        prog="python -m analysis.dashboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    view = commands.add_parser("workspace", parents=[common], help="save the view that compares methods")
    view.add_argument("--dataset", help="show only the runs of this data set")
    view.add_argument("--bands", choices=BANDS, default="minmax", help="over the seeds (default: %(default)s)")
    send = commands.add_parser("upload", parents=[common], help="send finished records as runs")
    send.add_argument("--method", nargs="+", default=[])
    send.add_argument("--dataset", nargs="+", default=[])
    send.add_argument("--experiment", help="records with what configs/experiment/NAME.yaml sets")
    send.add_argument("--files", default="*", metavar="PATTERN", help="of paths below results/runs, as 'bop/*-s0-*'")
    send.add_argument("--results", type=Path, default=ROOT / "results", help="default: results")
    send.add_argument("--folder", type=Path, default=ROOT / "outputs", help="for W&B's own files (default: outputs)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
