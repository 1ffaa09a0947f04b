"""Diagnostics of sbi itself take a loaded posterior; where sbi is not installed, nothing to ask."""

import matplotlib
import pytest
import torch
from trained_model import write_model

import certibayes
from certibayes.seeding import generator

pytest.importorskip("sbi")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    matplotlib.use("Agg")
    folder, _, _ = write_model(tmp_path_factory.mktemp("base"))
    return certibayes.load(folder)


@pytest.fixture(scope="module")
def pairs(model):
    """Theta from the model's own posteriors, float32 as in sbi, so that the model is calibrated."""
    x = torch.randn(100, 10, generator=generator("xs"))
    return model.sample_batched((1,), x, generator=generator("theta"))[0].float(), x


@pytest.mark.parametrize("batched", [True, False])
def test_sbc_finds_a_calibrated_posterior_calibrated(model, pairs, batched):
    from sbi.diagnostics import run_sbc
    from sbi.diagnostics.sbc import check_uniformity_frequentist

    theta, x = pairs
    ranks, averaged = run_sbc(
        theta, x, model, 100, use_batched_sampling=batched, show_progress_bar=False
    )
    assert averaged.shape == theta.shape
    assert (check_uniformity_frequentist(ranks, 100) > 1e-4).all()


def test_expected_coverage_takes_its_log_prob(model, pairs):
    from sbi.diagnostics import run_sbc

    ranks, _ = run_sbc(*pairs, model, 100, reduce_fns=model.log_prob, show_progress_bar=False)
    assert ranks.shape == (100, 1)
    assert 35 < ranks.mean() < 65


def test_tarp_finds_a_calibrated_posterior_calibrated(model, pairs):
    from sbi.diagnostics import check_tarp, run_tarp

    curves = run_tarp(*pairs, model, num_posterior_samples=200, show_progress_bar=False)
    area, p_value = check_tarp(*curves)
    assert p_value > 1e-3
    assert abs(area) < 0.1


def test_plots_and_densities_take_it(model, pairs):
    from sbi.analysis import ActiveSubspace, conditional_pairplot, pairplot
    from sbi.diagnostics.sbc import get_nltp

    theta, x = pairs
    pairplot(model.sample((50,), x=x[0]), points=theta[:1])
    model.set_default_x(x[0])
    limits = torch.tensor([[-1.0, 1.0]] * 10)
    conditional_pairplot(model, condition=theta[:1], limits=limits, subset=[0, 1], resolution=3)
    expected = -model.log_prob_batched(theta[:3], x[:3]).float()
    torch.testing.assert_close(get_nltp(theta[:3], x[:3], model), expected)
    values, _ = ActiveSubspace(model).find_directions(
        posterior_log_prob_as_property=True, norm_gradients_to_prior=False
    )
    assert values.isfinite().all()
