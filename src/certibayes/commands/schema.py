"""`certibayes schema`: the JSON schema of a study file, for editors and docs."""

from __future__ import annotations

import argparse
from pathlib import Path

from certibayes.config.load import write_json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("path", type=Path, help="file to write")


def main(args: argparse.Namespace) -> int:
    """Write the schema."""
    write_json_schema(args.path)
    return 0
