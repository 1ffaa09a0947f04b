"""Sweeps: one parameter of a defense at several values, each value a defense of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator

from certibayes.config.base import Name, Spec
from certibayes.config.defenses import AnyDefense
from certibayes.config.errors import describe, violation

if TYPE_CHECKING:
    from certibayes.config.study import Experiment, Study

Value = bool | int | float | str
LONGEST_NAME = 100
"""Characters of a swept defense's name: it names folders."""
_DEFENSE: TypeAdapter[AnyDefense] = TypeAdapter(AnyDefense)
_SCALAR = "a finite number, true, false or a name"


class Sweep(Spec):
    """Several values of one parameter of one defense.

    Attributes:
        defense: a defense of the study; it states every other parameter.
        parameter: a key of that defense; of a key inside another one, the path, e.g.
            `perturbation.epsilon`.
        values: each becomes a defense, named `<defense>_<last part of parameter>_<value>`. A value
            that `defense` has already is no second model of an experiment that lists `defense`.
    """

    defense: Name
    parameter: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")]
    values: tuple[Value, ...] = Field(min_length=1)

    @field_validator("values", mode="before")
    @classmethod
    def _scalars(cls, values: Any) -> Any:
        for value in values if isinstance(values, list | tuple) else ():
            if not isinstance(value, Value) or (value != value or value in _INFINITE):
                raise ValueError(f"got {value!r}; allowed: {_SCALAR}")
            if isinstance(value, str) and not re.fullmatch(r"[a-z][a-z0-9_]*", value):
                raise ValueError(f"got {value!r}; allowed: {_SCALAR}")
        return values

    @property
    def names(self) -> dict[str, Value]:
        """Names of the defenses that the sweep makes, with the value of each."""
        return {swept_name(self.defense, self.parameter, value): value for value in self.values}


_INFINITE = (float("inf"), float("-inf"))


def swept_name(defense: str, parameter: str, value: Value) -> str:
    """Return the name of the defense that one value makes, e.g. `fisher_beta_0p001`.

    Numbers are written in full, `p` stands for the point and `m` for minus: 1.0e-5 and 0.00001
    are one name, 1 and 1.0 too.
    """
    return f"{defense}_{parameter.rpartition('.')[2]}_{_written(value)}"


def _written(value: Value) -> str:
    if isinstance(value, bool | str):
        return str(value).lower()
    number = Decimal(repr(value))
    text = format(number.normalize() if number else abs(number.normalize()), "f")
    return text.replace(".", "p").replace("-", "m")


def sweep_findings(study: Study) -> list[str]:
    """Return one line per finding about sweeps: the key, the value and what is allowed."""
    found = [line for name, sweep in study.sweeps.items() for line in _broken(study, name, sweep)]
    if not found:
        found = list(_collisions(study))
    for position, experiment in enumerate(study.experiments):
        key = f"experiments.{position}.sweeps"
        names = experiment.sweeps
        found += [violation(key, name, study.sweeps) for name in names if name not in study.sweeps]
        repeated = sorted({name for name in names if names.count(name) > 1})
        found += [violation(key, name, "each name once") for name in repeated]
    return found


def expanded(study: Study) -> Study:
    """Return the study with the defenses that its sweeps make, in its experiments too.

    The sweeps stay for the report; experiments name defenses alone.

    Args:
        study: without findings about sweeps.
    """
    defenses = dict(study.defenses)
    for sweep in study.sweeps.values():
        base = study.defenses[sweep.defense]
        defenses |= {
            name: _with_value(base, sweep.parameter, value) for name, value in sweep.names.items()
        }
    experiments = tuple(_with_swept(study, one) for one in study.experiments)
    return study.model_copy(update={"defenses": defenses, "experiments": experiments})


def value_at(defense: BaseModel, parameter: str) -> Any:
    """Return the value of a defense's parameter, given by its path; None where there is none."""
    place: Any = defense
    for part in parameter.split("."):
        place = getattr(place, part, None)
    return place


def _with_swept(study: Study, experiment: Experiment) -> Experiment:
    swept = [
        name
        for sweep in (study.sweeps[sweep] for sweep in experiment.sweeps)
        for name in sweep.names
        if sweep.defense not in experiment.defenses or not _is_base(study, sweep, name)
    ]
    new = [name for name in dict.fromkeys(swept) if name not in experiment.defenses]
    return experiment.model_copy(update={"defenses": (*experiment.defenses, *new), "sweeps": ()})


def _is_base(study: Study, sweep: Sweep, name: str) -> bool:
    """Tell whether a name that a sweep makes is, in all values, the defense that it starts from."""
    base = study.defenses[sweep.defense]
    return _with_value(base, sweep.parameter, sweep.names[name]) == base


def _broken(study: Study, name: str, sweep: Sweep) -> Iterator[str]:
    key = f"sweeps.{name}"
    made = {one for other in study.sweeps.values() for one in other.names}
    if name == "none" or name in study.defenses or name in made:
        yield violation(key, name, "a name that no defense has, none included")
    if sweep.defense not in study.defenses:
        yield violation(f"{key}.defense", sweep.defense, study.defenses)
        return
    base = study.defenses[sweep.defense]
    known = list(_parameters(base))
    if sweep.parameter not in known:
        yield violation(f"{key}.parameter", sweep.parameter, known)
        return
    first: dict[str, Value] = {}
    for position, value in enumerate(sweep.values):
        swept = swept_name(sweep.defense, sweep.parameter, value)
        if swept in first:
            yield violation(f"{key}.values.{position}", value, "each value once")
        first[swept] = value
        if len(swept) > LONGEST_NAME:
            allowed = f"values whose names have at most {LONGEST_NAME} characters"
            yield violation(f"{key}.values.{position}", value, f"{allowed}; got {len(swept)}")
        try:
            _with_value(base, sweep.parameter, value)
        except ValidationError as error:
            data = _changed(base, sweep.parameter, value)
            reasons = describe(error, data, type(base)).splitlines()
            allowed = f"what {sweep.defense} takes ({'; '.join(reasons)})"
            yield violation(f"{key}.values.{position}", value, allowed)


def _collisions(study: Study) -> Iterator[str]:
    """Yield names that a sweep gives to a defense and that something else has."""
    taken: dict[str, tuple[str, AnyDefense]] = {
        name: (f"defenses.{name}", spec) for name, spec in study.defenses.items()
    }
    for name, sweep in study.sweeps.items():
        base = study.defenses[sweep.defense]
        for position, (swept, value) in enumerate(sweep.names.items()):
            spec = _with_value(base, sweep.parameter, value)
            owner, other = taken.setdefault(swept, (f"sweeps.{name}", spec))
            if other != spec:
                allowed = f"values whose names are free; {swept!r} is that of {owner}"
                yield violation(f"sweeps.{name}.values.{position}", value, allowed)


def _parameters(spec: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all parameters of a defense, without its kind."""
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, BaseModel):
            yield from _parameters(value, f"{prefix}{name}.")
        elif name not in _NOT_SWEPT:
            yield f"{prefix}{name}"


_NOT_SWEPT = ("kind", "preset", "training")


def _changed(spec: AnyDefense, parameter: str, value: Value) -> dict[str, Any]:
    data = spec.model_dump()
    *parents, last = parameter.split(".")
    place: Any = data
    for part in parents:
        place = place[part]
    place[last] = value
    return data


def _with_value(spec: AnyDefense, parameter: str, value: Value) -> AnyDefense:
    return _DEFENSE.validate_python(_changed(spec, parameter, value))


def curves_of(sweeps: Mapping[str, Sweep], defense: str) -> list[str]:
    """Return the sweeps that a defense is a point of: those that made it or start from it."""
    return [
        name for name, sweep in sweeps.items() if defense == sweep.defense or defense in sweep.names
    ]
