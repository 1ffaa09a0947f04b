"""`certibayes run`: a study from its file to its report, under the study's lock."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from certibayes.commands.report import check, print_summary
from certibayes.config import ConfigError, load
from certibayes.config.parts import PART_VARIABLE, declare_part, part_of
from certibayes.locking import HOLDER_VARIABLE, StudyLock, clear_snakemake_locks
from certibayes.process import killed_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="study file")
    parser.add_argument("--cores", default="all", help="cores of all jobs together (default: all)")
    declare_part(parser)
    parser.add_argument(
        "--die-with-parent", action="store_true", help="be killed when the caller is, e.g. make"
    )
    parser.add_argument("snakemake", nargs="*", help="after --: further arguments of snakemake")


def main(args: argparse.Namespace) -> int:
    """Run Snakemake, build the HTML report, print the summary and check the invariants.

    Snakemake runs without its own lock: the study's lock, which the kernel frees, replaces it, and
    one Snakemake that ends removes the lock files of every other in the same folder.

    Returns:
        Snakemake's exit code if it is not 0, else 1 for a broken invariant, else 0.

    Raises:
        ConfigError: if the study may not run.
        StudyLockedError: if another workflow runs this study.
    """
    if args.die_with_parent:
        killed_with_parent()
    study = load(args.config)
    folder = Path("results") / part_of(study, args.part).study
    os.environ[PART_VARIABLE] = " ".join(args.part)
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    snakemake += ["--configfile", str(args.config)]
    with StudyLock(folder):
        clear_snakemake_locks(Path.cwd(), folder)
        work = ["--cores", str(args.cores), "--nolock", *args.snakemake]
        code = supervise([*snakemake, *work])
        if code == 0:
            code = supervise([*snakemake, "--nolock", "--report", str(folder / "report.html")])
    if code != 0:
        return code
    print_summary(folder, study)
    return check(folder)


def snakefile() -> Path:
    """Return the workflow: of the current folder, else of the source tree the package lies in.

    Raises:
        ConfigError: if there is none, as with a package that was installed without its sources.
    """
    places = [Path("Snakefile"), Path(__file__).resolve().parents[3] / "Snakefile"]
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(
        f"Snakefile: got nothing in {Path.cwd()}; allowed: a folder with the workflow's Snakefile"
    )


def supervise(command: list[str]) -> int:
    """Run a command that dies with this process; SIGINT and SIGTERM end its whole group.

    Both reach the group as SIGTERM: running jobs leave a checkpoint and stop, and Snakemake, which
    on its own would wait for them, ends with them.
    """
    child = subprocess.Popen(
        command,
        preexec_fn=killed_with_parent,
        process_group=0,
        stdin=subprocess.DEVNULL,
        env=os.environ | {HOLDER_VARIABLE: str(os.getpid())},
    )

    def stop(number: int, frame: object) -> None:
        os.killpg(child.pid, signal.SIGTERM)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
