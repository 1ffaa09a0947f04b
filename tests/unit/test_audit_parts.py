"""Parts of an audit against closed forms, and what it refuses."""

import os
import pickle

import numpy as np
import pytest
import torch
from sbi_stand_in import differentiable, opaque, posterior_of

from certibayes.audit.cut import CutDraws, cut_draws, moved
from certibayes.audit.detecting import detection_at
from certibayes.audit.recognition import subject_of
from certibayes.audit.refuting import surely_moved
from certibayes.audit.subject import Subject
from certibayes.cli import main


def test_the_cut_divides_the_total_variation_at_most_by_the_mass_inside():
    """TV(P_A, Q_A) <= TV(P, Q) / P(A) for random P, Q on 6 points and random A."""
    source = np.random.default_rng(0)
    for _ in range(2000):
        p, q = source.dirichlet(np.full(6, 0.4), 2)
        inside = source.random(6) < 0.6
        if p[inside].sum() < 1e-9 or q[inside].sum() < 1e-9:
            continue
        cut = abs(p[inside] / p[inside].sum() - q[inside] / q[inside].sum()).sum() / 2
        whole = abs(p - q).sum() / 2
        assert cut <= whole / p[inside].sum() + 1e-12


def normals(low):
    """q(theta | x) = N(x_1, 1) for two parameters, cut where the first is at most `low`."""
    x = torch.zeros(1, 3, dtype=torch.float64)
    box = subject_of(differentiable, x)
    inside = None if low is None else (lambda theta: theta[..., 0] > low)
    return Subject("object", (), box.model, inside, 2, 3, True, None), x


@pytest.mark.parametrize("low", [None, 0.3])
def test_divergences_of_cut_normals(low):
    subject, x = normals(low)
    attacked = x + 0.5
    clean = cut_draws(subject, x, 40_000, 0)
    mass = cut_draws(subject, attacked, 40_000, 1).mass
    found = moved(subject, clean, attacked, mass)
    grid = torch.linspace(-7, 7, 701, dtype=torch.float64)
    inside = torch.ones(701) if low is None else (grid > low).double()
    p, q = ((-0.5 * (grid - mean).square()).exp() for mean in (0.0, 0.5))
    joint = [torch.outer(one * inside, one) for one in (p, q)]
    p, q = (one / one.sum() for one in joint)
    kept = p > 0
    expected = (p[kept] * (p[kept] / q[kept]).log()).sum()
    assert float(found.forward_kl) == pytest.approx(float(expected), abs=0.01)
    assert float(found.total_variation) == pytest.approx(float((p - q).abs().sum() / 2), abs=0.01)


def test_no_draw_inside_is_unknown_not_zero():
    subject, x = normals(50.0)
    clean = cut_draws(subject, x, 100, 0)
    assert isinstance(clean, CutDraws)
    assert bool(moved(subject, clean, x, clean.mass).total_variation.isnan())


@pytest.mark.parametrize("low", [None, 0.3])
def test_what_an_attack_surely_reaches_is_below_the_truth_and_close_to_it(low):
    """Of 60 bounds at confidence 0.9 more than 13 fail with probability below 0.002."""
    subject, x = normals(low)
    x, shift = x.expand(60, 3), 1.0
    clean, attacked = (
        cut_draws(subject, x + move, 500, seed) for seed, move in enumerate((0, shift))
    )
    grid = torch.linspace(-6, 7, 521, dtype=torch.float64)
    inside = torch.ones(521) if low is None else (grid > low).double()
    p, q = ((-0.5 * (grid - mean).square()).exp() for mean in (0.0, shift))
    p, q = (torch.outer(one * inside, one) for one in (p, q))
    truth = float((p / p.sum() - q / q.sum()).abs().sum() / 2)
    likely, sure = (
        surely_moved(subject, x, clean, x + shift, attacked, one) for one in (0.9, 0.99)
    )
    assert int((likely > truth).sum()) <= 13
    assert float(likely.mean()) > truth - 0.2
    assert bool((sure < likely).all())


def test_nothing_is_sure_of_the_posterior_at_x_itself_or_without_draws_inside():
    subject, x = normals(0.0)
    here, again = (cut_draws(subject, x, 500, seed) for seed in (0, 1))
    assert float(surely_moved(subject, x, here, x, again, 0.99)) == 0
    subject, _ = normals(50.0)
    here = cut_draws(subject, x, 500, 0)
    assert float(surely_moved(subject, x, here, x + 1, here, 0.99)) == 0


def test_detection_tells_far_from_near():
    source = torch.Generator().manual_seed(0)
    clean, other, reference = (
        torch.randn(80, 3, generator=source, dtype=torch.float64) for _ in range(3)
    )
    for known in (None, reference, torch.cat((clean, reference))):
        same, far = detection_at(clean, other, known), detection_at(clean, clean + 20, known)
        assert same is not None
        assert far is not None
        assert far.nearest == far.ellipsoid == 1.0
        assert abs(same.nearest - 0.5) < 0.15
        assert abs(same.ellipsoid - 0.5) < 0.15
    assert detection_at(clean[:4], other[:4], None) is None


@pytest.mark.parametrize(("posterior", "gradients"), [(differentiable, True), (opaque, False)])
def test_gradients_to_x_are_noticed(posterior, gradients):
    subject = subject_of(posterior, torch.zeros(2, 3, dtype=torch.float64))
    assert subject.gradients is gradients
    assert subject.estimator is None
    assert not subject.cut


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_read_without_trust(tmp_path, capsys):
    """The file would make a folder as soon as it is read."""
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    file, made = tmp_path / "posterior.pkl", tmp_path / "made"
    file.write_bytes(pickle.dumps(Trap(made)))
    asked = ["audit", str(file), "--observations", str(tmp_path / "x.npy")]
    assert main(asked) == 1
    message = capsys.readouterr().err
    assert "--trust" in message
    assert "run whatever code" in message
    assert "Traceback" not in message
    assert not made.exists()
    assert main([*asked, "--trust"]) == 1
    assert made.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["nonesuch:thing"], "cannot be imported"),
        (["nonesuch.pt"], "allowed: a file written by"),
        (["sbi_stand_in:KINDS"], "with sample and log_prob"),
        (["sbi_stand_in:opaque", "--theta", "y.npy"], "theta: got 3 rows"),
        (["sbi_stand_in:opaque", "--scale", "gone.npy"], "gone.npy"),
        (["sbi_stand_in:opaque", "--clip", "1", "2"], "outside the clip range"),
        (["sbi_stand_in:opaque", "--epsilons", "0.2", "0.1"], "strictly increasing"),
        (["sbi_stand_in:opaque", "--tau", "3"], "--tau: got 3"),
    ],
)
def test_what_is_refused_is_said_without_a_traceback(
    change, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((2, 3)))
    np.save("y.npy", np.zeros((3, 2)))
    assert main(["audit", *change, "--observations", "x.npy"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "audit").exists()


def test_observations_must_have_the_features_of_the_posterior(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((2, 4)))
    torch.save(posterior_of("mdn"), "p.pt")
    assert main(["audit", "p.pt", "--trust", "--observations", "x.npy"]) == 1
    assert "got 4 features; allowed: 3" in capsys.readouterr().err


def test_one_observation_has_no_unit(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((1, 3)))
    assert main(["audit", "sbi_stand_in:opaque", "--observations", "x.npy"]) == 1
    assert "--unit raw" in capsys.readouterr().err
