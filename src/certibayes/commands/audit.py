"""`certibayes audit POSTERIOR`: attack, certify and write down a posterior trained elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from certibayes.config import ConfigError
from certibayes.config.threat import PerturbationGrid

if TYPE_CHECKING:
    from certibayes.audit.settings import AuditSettings

EPSILONS = [0.1, 0.2, 0.5]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("posterior", help="file of torch.save or pickle.dump, or module:object")
    parser.add_argument("--observations", type=Path, required=True, help="x, .npy (batch, x_dim)")
    parser.add_argument("--trust", action="store_true", help="read a pickle, which may run code")
    parser.add_argument("--theta", type=Path, help="true thetas, .npy (batch, theta_dim)")
    parser.add_argument("--simulator", help="module:function from theta (n, theta_dim) to x")
    parser.add_argument("--scale", type=Path, help="clean observations that state the unit, .npy")
    parser.add_argument("--norm", default="linf", choices=("l1", "l2", "linf"))
    parser.add_argument(
        "--unit", default="feature_std", choices=("raw", "feature_std", "within_std")
    )
    parser.add_argument("--epsilons", type=float, nargs="+", default=EPSILONS, metavar="E")
    parser.add_argument("--clip", type=float, nargs=2, metavar=("LOW", "HIGH"), help="range of x'")
    parser.add_argument(
        "--bounds", default="crown", choices=("interval", "crown_ibp", "crown", "none")
    )
    parser.add_argument("--tau", type=float, default=0.2, help="total variation tolerated")
    parser.add_argument("--confidence", type=float, default=0.99, help="of a certified bound")
    parser.add_argument("--draws", type=int, default=2000, help="behind a certificate")
    parser.add_argument(
        "--report-draws", type=int, default=1000, help="that attacks are measured on"
    )
    parser.add_argument("--steps", type=int, default=50, help="of an attack, per restart")
    parser.add_argument("--restarts", type=int, default=2, help="of an attack by gradients")
    parser.add_argument("--seed", type=int, default=0, help="of every draw")
    parser.add_argument("--output", type=Path, default=Path("audit"), help="folder; default audit")


def main(args: argparse.Namespace) -> int:
    """Audit, write audit.html and audit.json, print the findings.

    Raises:
        ConfigError: if something is refused; the message says what and why.
    """
    settings = _settings(args)
    from certibayes.audit.auditing import audit
    from certibayes.audit.card import card_of
    from certibayes.audit.inputs import read_inputs
    from certibayes.audit.loading import load_posterior, named
    from certibayes.audit.recognition import subject_of
    from certibayes.audit.record import record_of
    from certibayes.audit.summary import summary_of
    from certibayes.io import atomic, write_json

    inputs = read_inputs(args.observations, args.theta, args.scale)
    simulator = None if args.simulator is None else named(args.simulator, "simulator")
    subject = subject_of(load_posterior(args.posterior, args.trust), inputs.x)
    findings = audit(subject, inputs, settings, simulator)
    roles = ("posterior", "observations", "theta", "simulator", "scale")
    sources = {role: str(getattr(args, role)) for role in roles if getattr(args, role) is not None}
    record = record_of(sources, subject, inputs, settings, findings)
    with atomic(args.output / "audit.html") as temporary:
        temporary.write_text(card_of(record))
    write_json(args.output / "audit.json", record)
    print(summary_of(record))
    print(f"card    {args.output / 'audit.html'}\nrecord  {args.output / 'audit.json'}")
    return 0


def _settings(args: argparse.Namespace) -> AuditSettings:
    from certibayes.audit.settings import AuditSettings

    names = ("bounds", "tau", "confidence", "draws", "report_draws", "steps", "restarts", "seed")
    try:
        return AuditSettings(
            perturbation=PerturbationGrid(
                norm=args.norm,
                unit=args.unit,
                clip=None if args.clip is None else tuple(args.clip),
                epsilons=tuple(args.epsilons),
            ),
            **{name: getattr(args, name) for name in names},
        )
    except ValidationError as error:
        lines = [
            f"--{str(one['loc'][0]).replace('_', '-')}: got {one['input']!r}; {one['msg']}"
            for one in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from error
