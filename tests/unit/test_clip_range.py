"""The range of x' that a perturbation may state beside the task's own."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_config import load_changed

from certibayes.config import ConfigError
from certibayes.config.threat import PerturbationGrid
from certibayes.io import save_arrays, write_json
from certibayes.layout import Layout
from certibayes.stages.attack_files import StoredAttack
from certibayes.stages.observations import ball_of

BOX = {"norm": "linf", "unit": "raw"}


def grid(clip=None):
    return PerturbationGrid(**BOX, epsilons=(0.5,), clip=clip)


@pytest.fixture
def place(tmp_path):
    layout = Layout(tmp_path)
    job = SimpleNamespace(task="mine")
    folder = layout.reference(job)
    folder.mkdir(parents=True)
    scale = {"feature_std": [1.0, 2.0], "within_std": 1.0, "data_range": [-3.0, 4.0]}
    write_json(folder / "scale.json", scale)
    save_arrays(folder / "test.npz", {name: np.zeros((1, 2)) for name in ("target", "x")})
    return layout, job


@pytest.mark.parametrize(
    ("stated", "own", "expected"),
    [
        (None, None, None),
        (None, (0.0, 1.0), (0.0, 1.0)),
        ("data_range", None, (-3.0, 4.0)),
        ((-1.0, 2.0), None, (-1.0, 2.0)),
        ((-1.0, 0.5), (0.0, 1.0), (0.0, 0.5)),
        ("data_range", (0.0, 1.0), (0.0, 1.0)),
    ],
)
def test_the_narrower_range_holds(place, stated, own, expected):
    ball = ball_of(*place, SimpleNamespace(clip=own), grid(stated).at(0.5))
    assert ball.clip == expected


@pytest.mark.parametrize(
    ("attack", "certificate", "inside"),
    [
        (None, None, True),
        ("data_range", None, True),
        (None, "data_range", False),
        ("data_range", "data_range", True),
        ((0.0, 1.0), (0.0, 2.0), False),
    ],
)
def test_an_attack_lies_in_the_set_of_a_certificate_only_within_its_range(
    attack, certificate, inside
):
    stored = StoredAttack("a", SimpleNamespace(perturbation=grid(attack)), 0.5, None, None)
    assert stored.inside(grid(certificate), 0.5) is inside


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        grid((1.0, 1.0))


def test_a_defense_may_not_use_the_range_of_test_observations(tmp_path):
    ball = {"norm": "l2", "unit": "raw", "epsilon": 0.1, "clip": "data_range"}
    with pytest.raises(ConfigError, match=r"defenses.shaken.perturbation.clip: got 'data_range'"):
        load_changed(tmp_path, ("defenses", "shaken"), {"kind": "noise", "perturbation": ball})
