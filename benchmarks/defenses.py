"""Write docs/defense_cost.md: what each defense costs, and what its cheap version gives up.

.venv/bin/python benchmarks/defenses.py --folder results/defense_cost

does everything that the folder lacks, one run after another: the timing, one training per version
and seed with an attack on its result, and the page. Runs need one thread each and know nothing of
one another, so that a larger machine takes them in parallel:

    --list                    print a line of options for every missing run
    --only NAME --seed K      do a single run
    --timing                  measure the cost of a step, all versions in turns in one process
    --report                  write the page from what the folder holds

for example

    python benchmarks/defenses.py --folder F --seeds 3 --only none   (simulates the pairs)
    python benchmarks/defenses.py --folder F --seeds 3 --list |
        xargs -P 16 -L 1 python benchmarks/defenses.py --folder F
"""

from __future__ import annotations

import argparse
from pathlib import Path

import defense_page
import defense_timing
from defense_robustness import Setting, train_and_attack
from defense_versions import TRAINED

from certibayes.io import read_json, write_json

PAGE = Path("docs/defense_cost.md")
FOLDER = Path("results/defense_cost")


def main() -> None:
    """Do what the options ask for."""
    options = _options()
    setting = Setting(options.budget, options.epochs, options.observations, options.attack_steps)
    timing = options.folder / "timing.json"
    seeds = range(options.seeds) if options.seed is None else (options.seed,)
    names = TRAINED if options.only is None else (options.only,)
    runs = {(n, k): setting.file(options.folder, n, k) for k in seeds for n in names}
    if options.list:
        for (name, seed), path in runs.items():
            if not path.exists():
                print(f"--only {name} --seed {seed} {_as_options(setting)}")
        return
    everything = not (options.timing or options.report or options.only)
    if options.timing or (everything and not timing.exists()):
        write_json(timing, defense_timing.measure(options.rounds, options.steps))
    if options.only or everything:
        for (name, seed), path in runs.items():
            if not path.exists():
                write_json(path, train_and_attack(name, seed, setting, options.folder))
    if options.report or everything:
        found = {run: read_json(path) for run, path in runs.items() if path.exists()}
        text = defense_page.page(read_json(timing), found, setting)
        options.output.write_text(text, encoding="utf-8")


def _as_options(setting: Setting) -> str:
    return (
        f"--budget {setting.budget} --epochs {setting.epochs} "
        f"--observations {setting.observations} --attack-steps {setting.attack_steps}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results are kept")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", choices=TRAINED, help="train and attack one version")
    what.add_argument("--list", action="store_true", help="options of the missing runs")
    what.add_argument("--timing", action="store_true", help="measure the cost of a step")
    what.add_argument("--report", action="store_true", help="write the page")
    parser.add_argument("--seed", type=int, help="one seed; default: all of --seeds")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ...")
    parser.add_argument("--budget", type=int, default=100_000, help="simulations")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--observations", type=int, default=1_000, help="that are attacked")
    parser.add_argument("--attack-steps", type=int, default=50, help="of PGD, two restarts")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every version, timing")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn, timing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
