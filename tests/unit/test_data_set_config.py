"""Studies of labelled data sets: what the features of these rule out."""

import pytest
import yaml

from certibayes.config import ConfigError, load
from certibayes.config.jobs import model_jobs

BALL = {"norm": "linf", "unit": "raw", "epsilons": [0.1]}


def study(tmp_path, network=None, attack=None, certificate=None, **parts):
    """Read a study of digits with an attack and a certificate."""
    inference = {"kind": parts.pop("inference", "bbb")}
    data = {
        "study": "example",
        "models": {"net": {"network": network or {"kind": "mlp"}, "inference": inference}},
        "attacks": {"pgd": {"kind": "pgd", "objective": "margin", "perturbation": BALL}},
        "certificates": {"dec": {"kind": "decision", "perturbation": BALL}},
        "experiments": [
            {"task": "digits", "budget": 1000, "model": "net", "attacks": ["pgd"]}
            | {"certificates": ["dec"]}
            | parts.pop("experiment", {})
        ],
        **parts,
    }
    data["attacks"]["pgd"] |= attack or {}
    data["certificates"]["dec"] |= certificate or {}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    return load(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"network": {"kind": "cnn", "channels": 3}},
            r"models\.net\.network\.channels: got 3 with 64 features of x; allowed: .* 'digits'",
        ),
        (
            {"network": {"kind": "cnn", "layers": [{"filters": 4, "kernel": 9}]}},
            r"models\.net\.network\.layers\.0: got {'filters': 4, .*}, which leaves nothing of ima",
        ),
        (
            {"attack": {"mask": [3, 64]}},
            r"attacks\.pgd\.mask: got \[3, 64\]; allowed: numbers from 0 to 63",
        ),
        (
            {"attack": {"outside": True}},
            r"attacks\.pgd\.outside: got True; allowed: false where evaluation\.outside is null",
        ),
        (
            {"attack": {"observations": 1}},
            r"attacks\.pgd\.observations: got 1; allowed: greater than or equal to 2",
        ),
        (
            {"evaluation": {"outside": "digits"}},
            r"evaluation\.outside: got 'digits'; allowed: permuted",
        ),
        (
            {"certificate": {"perturbation": {**BALL, "clip": [-1.0, 2.0]}}},
            r"certificates\.dec\.perturbation\.clip: got \[-1\.0, 2\.0\]; allowed: null, or a part",
        ),
        (
            {
                "network": {"kind": "cnn", "batch_norm": True},
                "certificate": {"kind": "probabilistic_safety"},
            },
            r"certificates: got 'dec' with network\.batch_norm of 'net', .*; allowed: batch_norm",
        ),
        ({"certificate": {"radius": 1}}, r"certificates\.dec\.radius: got 1; allowed: "),
        (
            {"experiment": {"seeds": [2, 0, 2]}},
            r"experiments\.0\.seeds: got 2; allowed: each seed once",
        ),
        (
            {"network": {"kind": "cnn", "layers": [{"pool": 2, "stride": 1}]}},
            r"network\.layers\.0\.stride: got 'stride'; allowed: by, pool",
        ),
        (
            {"network": {"kind": "cnn", "layers": [{"filters": 2, "dilation": 2}]}},
            r"network\.layers\.0\.dilation: got .*; allowed: filters, kernel, padding, stride",
        ),
    ],
)
def test_what_does_not_fit_the_images_is_found_when_the_study_is_read(tmp_path, parts, message):
    with pytest.raises(ConfigError, match=message):
        study(tmp_path, **parts)


def test_the_pixels_own_range_is_no_other_set_than_none(tmp_path):
    """Else an attack and a certificate of one set would not be compared."""
    own = study(tmp_path, certificate={"perturbation": {**BALL, "clip": [0.0, 1.0]}})
    assert model_jobs(own) == model_jobs(study(tmp_path))
    narrow = study(tmp_path, certificate={"perturbation": {**BALL, "clip": [0.0, 0.9]}})
    assert model_jobs(narrow)[0].certificates["dec"].perturbation.clip == (0.0, 0.9)
