"""The command line: each subcommand is a module of `commands`, imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from certibayes.explained import ExplainedError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "run a study to its report"),
    "decoder": ("stage", "the decoder of a task that simulates with one"),
    "simulate": ("stage", "one shard of simulations"),
    "gather": ("stage", "test pairs, units and the log of all shards of a task"),
    "train": ("stage", "a model with the plain log-likelihood"),
    "retrain": ("stage", "a model with a defense"),
    "attack": ("stage", "one model, one attack, all epsilons"),
    "certify": ("stage", "one model, one certificate, all epsilons"),
    "evaluate": ("stage", "one model with its attacks and certificates"),
    "report": ("report", "tables and figures of a study, or --check of its invariants"),
    "list": ("list", "the size of a study before it is started"),
    "audit": ("audit", "attack and certify a posterior trained elsewhere"),
    "sync": ("sync", "send journals to the tracking store"),
    "trace": ("trace", "from a result file to its run, inputs and code"),
    "doctor": ("doctor", "what a study will find on this machine"),
    "unlock": ("unlock", "clear what a killed workflow left locked"),
    "schema": ("schema", "write the JSON schema of a study file, or its reference (.md)"),
    "envs": ("envs", "check or write the lock and envs/"),
}
"""Subcommands: module in `commands` (with `add_arguments` and `main`) and one line of help."""
READ = ("list", "trace", "doctor")
"""Commands that only print, so that their reader may stop early, as `head` does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; a known error is one message and 1."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        _overview().parse_args(arguments)
        return 2
    name = arguments[0]
    module_name, text = COMMANDS[name]
    command = import_module(f"certibayes.commands.{module_name}")
    parser = argparse.ArgumentParser(f"certibayes {name}", description=text, allow_abbrev=False)
    parser.set_defaults(command=name)
    command.add_arguments(parser)
    try:
        code: int = command.main(parser.parse_args(arguments[1:]))
        sys.stdout.flush()
    except ExplainedError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        if name not in READ:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="certibayes", description="Certified Bayesian inference.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser
