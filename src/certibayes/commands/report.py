"""`certibayes report`: the report stage, or `--check` of a finished study."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from certibayes.commands import stage
from certibayes.comparison import compared_tasks
from certibayes.config import ConfigError, load
from certibayes.config.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")
    parser.add_argument("--check", action="store_true", help="exit 1 on a broken invariant")
    stage.declare(parser, required=False)


def main(args: argparse.Namespace) -> int:
    """Run the stage, or with --check return 1 if an invariant of the study is broken."""
    if args.check:
        return check(Path("results") / load(args.config).study)
    if None in (args.job, args.code, args.log):
        raise ConfigError(
            "report: got none; allowed: --check, or --job, --code and --log of a rule"
        )
    return stage.main(args)


def check(folder: Path) -> int:
    """Print every broken invariant of a study and return 1 if there is one, else 0.

    Raises:
        ConfigError: if the study has no report yet, or is malformed.
    """
    from certibayes.report.invariants import broken

    path = folder / "invariants.json"
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; run the study first")
    count = len(json.loads(path.read_text()))
    found = broken(path)
    for line in found:
        print(f"BROKEN {line}", file=sys.stderr)
    print(f"invariants of {folder}: {count - len(found)} of {count} hold")
    return 1 if found else 0


def print_summary(folder: Path, study: Study) -> None:
    """Print the summary table, failed simulations, real observations and the best models.

    Args:
        folder: of the results of a study or of a part of it.
        study: the whole study.
    """
    import pandas as pd

    from certibayes.report.models import render_best
    from certibayes.report.observed_certificates import render_certificates
    from certibayes.report.posterior_table import render_posteriors
    from certibayes.report.simulations import render_simulations
    from certibayes.report.table import render

    print(render(pd.read_csv(folder / "summary.csv")))
    failed = render_simulations(pd.read_csv(folder / "report" / "simulations.csv"))
    if failed:
        print(failed)
    for path in sorted((folder / "report").glob("posterior_*.csv")):
        print(render_posteriors(pd.read_csv(path)))
    for path in sorted((folder / "report").glob("certified_*.csv")):
        print(render_certificates(pd.read_csv(path)))
    content = json.loads((folder / "models.json").read_text())
    print(render_best(content, compared_tasks(study, content["models"])), end="")
