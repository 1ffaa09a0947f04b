"""`certibayes schema`: the JSON schema of a study file, for editors; or its reference, to read."""

from __future__ import annotations

import argparse
from pathlib import Path

from certibayes.config.load import write_json_schema, write_reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("path", type=Path, help="file to write; .md: the reference as a page")


def main(args: argparse.Namespace) -> int:
    """Write the schema, or the page if the file's name ends in .md."""
    write = write_reference if args.path.suffix == ".md" else write_json_schema
    write(args.path)
    return 0
