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
    parser.add_argument(
        "--cores", help="cores of all jobs together (default: all, or what the profile says)"
    )
    parser.add_argument(
        "--profile", type=Path, help="folder of a workflow profile, e.g. profiles/slurm"
    )
    declare_part(parser)
    parser.add_argument(
        "--die-with-parent", action="store_true", help="be killed when the caller is, e.g. make"
    )
    parser.add_argument("snakemake", nargs="*", help="after --: further arguments of snakemake")


def main(args: argparse.Namespace) -> int:
    """Run Snakemake, build its own report, print the summary and check the invariants.

    Snakemake runs without its own lock: the study's lock, which the kernel frees, replaces it, and
    one Snakemake that ends removes the lock files of every other in the same folder.

    Under a profile SIGTERM and SIGINT reach Snakemake as SIGINT, upon which it cancels what it has
    submitted; on its own it would wait for the end of jobs in the queue.

    Returns:
        Snakemake's exit code if it is not 0, else 1 for a broken invariant, else 0.

    Raises:
        ConfigError: if the study may not run, or there is no such profile.
        StudyLockedError: if another workflow runs this study.
    """
    if args.die_with_parent:
        killed_with_parent()
    options, stop = job_options(args.profile, args.cores)
    study = load(args.config)
    folder = Path("results") / part_of(study, args.part).study
    os.environ[PART_VARIABLE] = " ".join(args.part)
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    snakemake += ["--configfile", str(args.config)]
    with StudyLock(folder):
        clear_snakemake_locks(Path.cwd(), folder)
        code = supervise([*snakemake, *options, "--nolock", *args.snakemake], stop)
        if code == 0:
            code = supervise([*snakemake, "--nolock", "--report", str(folder / "workflow.html")])
    if code != 0:
        return code
    print_summary(folder, study)
    return check(folder)


def job_options(profile: Path | None, cores: str | None) -> tuple[list[str], signal.Signals]:
    """Return Snakemake's options that decide where jobs run, and the signal that ends it.

    Raises:
        ConfigError: if there is no such profile.
    """
    if profile is None:
        return ["--cores", cores or "all"], signal.SIGTERM
    if not (profile / "config.yaml").is_file():
        raise ConfigError(
            f"--profile: got {profile}; allowed: a folder with a config.yaml for Snakemake"
        )
    stated = [] if cores is None else ["--cores", cores]
    return ["--workflow-profile", str(profile), *stated], signal.SIGINT


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


def supervise(command: list[str], ending: signal.Signals = signal.SIGTERM) -> int:
    """Run a command that dies with this process; SIGINT and SIGTERM end its whole group.

    Both reach the group as one signal. With SIGTERM running jobs leave a checkpoint and stop, and
    Snakemake, which on its own would wait for them, ends with them. A second signal kills.

    Args:
        command: the command.
        ending: what the group gets.
    """
    child = subprocess.Popen(
        command,
        preexec_fn=killed_with_parent,
        process_group=0,
        stdin=subprocess.DEVNULL,
        env=os.environ | {HOLDER_VARIABLE: str(os.getpid())},
    )

    signals = [signal.SIGKILL, ending]

    def stop(number: int, frame: object) -> None:
        os.killpg(child.pid, signals.pop() if len(signals) > 1 else signals[0])

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
