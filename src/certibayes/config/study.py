"""A study: named specifications and the experiments that combine them."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

from pydantic import Field, field_validator

from certibayes.config.attacks import AnyAttack
from certibayes.config.base import Count, Name, PositiveInt, Spec
from certibayes.config.certificates import AnyCertificate
from certibayes.config.defenses import AnyDefense
from certibayes.config.evaluation import Evaluation
from certibayes.config.models import Model
from certibayes.config.selection import Selection
from certibayes.config.sweeps import Sweep
from certibayes.config.tasks import BUILT_IN, AnyTask
from certibayes.config.tracking import Tracking

DeviceName = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[str, ...] = get_args(DeviceName)
CLEAN = "clean"
"""The method name of the undisturbed observation in every table."""
Specs = TypeVar("Specs", bound=dict[str, AnyAttack] | dict[str, AnyCertificate])


class Experiment(Spec):
    """One task, budget and model with lists of defenses, sweeps, attacks and so on."""

    task: Name
    """A name of `tasks`, or a built-in task."""
    budget: PositiveInt
    """Simulations, or training rows of a labelled data set."""
    model: Name
    """A name of `models`."""
    defenses: tuple[Name, ...] = Field(default=("none",), min_length=1)
    """Names of `defenses`; `none` is the model as `train` makes it."""
    sweeps: tuple[Name, ...] = ()
    """Sweeps whose defenses join those of the list."""
    attacks: tuple[Name, ...] = ()
    """Names of `attacks`."""
    certificates: tuple[Name, ...] = ()
    """Names of `certificates`."""
    size: Name | None = None
    """What it takes, e.g. laptop or gpu: a word by which a part of the study is chosen."""
    seeds: tuple[Count, ...] = Field(default=(0,), min_length=1)
    """Of weights, batches and draws; each makes a model of its own."""
    evaluation: Evaluation | None = None
    """Sizes of this experiment's evaluation; None = those of the study."""


class Study(Spec):
    """One config file."""

    study: Name
    """Names the folder below `results/` and the experiment in MLflow."""
    seed: Count = 0
    """Of simulations and test observations."""
    data_root: str | None = Field(default=None, min_length=1)
    """Folder of downloaded data sets, relative to the workflow's folder; the environment variable
    CERTIBAYES_DATA goes before it."""
    device: DeviceName = "auto"
    """Where train, retrain and attack compute: "auto" = CUDA if there is one; the environment
    variable CERTIBAYES_DEVICE goes before it. No job is run again because of it."""
    tasks: dict[Name, AnyTask] = Field(default_factory=dict)
    """Tasks with settings of their own; a built-in task with its defaults needs no entry."""
    models: dict[Name, Model]
    """What is trained."""
    defenses: dict[Name, AnyDefense] = Field(default_factory=dict)
    """Objectives with which models are trained again."""
    sweeps: dict[Name, Sweep] = Field(default_factory=dict)
    """Several values of one parameter of a defense."""
    attacks: dict[Name, AnyAttack] = Field(default_factory=dict)
    """Searches for the perturbation that does most."""
    certificates: dict[Name, AnyCertificate] = Field(default_factory=dict)
    """Statements about every perturbation."""
    evaluation: Evaluation = Evaluation()
    """How many observations and draws are measured."""
    selection: Selection = Selection()
    """Which model of a task is its best."""
    tracking: Tracking = Tracking()
    """What happens where the tracking server does not answer."""
    experiments: tuple[Experiment, ...] = Field(min_length=1)
    """Combinations of the above; nothing else is run."""

    @field_validator("attacks", "certificates")
    @classmethod
    def _not_clean(cls, specs: Specs) -> Specs:
        if CLEAN in specs:
            raise ValueError(
                f"{CLEAN}: got {CLEAN!r}; allowed: any other name, "
                "this one is the undisturbed observation's"
            )
        return specs

    def task(self, name: str) -> AnyTask:
        """Return the specification of a task: one of the study's own, else the built-in one."""
        return self.tasks[name] if name in self.tasks else BUILT_IN[name]()
