import typing

import pytest

from certibayes import registry
from certibayes.config import attacks, certificates, defenses, models, tasks

UNIONS = {
    "task": tasks.AnyTask,
    "estimator": models.AnyEstimator,
    "network": models.AnyNetwork,
    "inference": models.AnyInference,
    "attack": attacks.AnyAttack,
    "certificate": certificates.AnyCertificate,
}
PLUG_INS = [(kind, name) for kind in registry.REGISTRY for name in registry.names(kind)]


def _kinds(annotation):
    """Return the kinds of a discriminated union, or of the one class that stands for it."""
    annotated = typing.get_args(annotation)
    members = typing.get_args(annotated[0]) if annotated else (annotation,)
    return {spec.model_fields["kind"].default for spec in members}


@pytest.mark.parametrize(("kind", "name"), PLUG_INS)
def test_every_plug_in_can_be_imported(kind, name):
    assert callable(registry.load(kind, name))


@pytest.mark.parametrize("kind", UNIONS)
def test_a_study_can_name_every_plug_in_and_no_other(kind):
    """Ensembles are made by `members`, and networks trained elsewhere are audited, not named."""
    named = {"estimator": {"ensemble", *registry.FOREIGN}}.get(kind, set())
    assert _kinds(UNIONS[kind]) == set(registry.names(kind)) - named


def test_defenses_and_objectives_are_those_of_the_config():
    assert _kinds(defenses.AnyDefense) | {"none"} == set(registry.names("defense"))
    assert set(typing.get_args(attacks.ObjectiveName)) == set(registry.names("objective"))


@pytest.mark.parametrize(("kind", "name"), [("attack", "nonesuch"), ("nonesuch", "pgd")])
def test_an_unknown_name_is_an_error(kind, name):
    with pytest.raises(KeyError, match="nonesuch"):
        registry.load(kind, name)
