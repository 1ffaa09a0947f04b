"""The decoder task against independent computations, and the autoencoder against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from certibayes.config.tasks import Vae as VaeSpec
from certibayes.io import save_weights
from certibayes.networks.autoencoder import VariationalAutoencoder, build_decoder, mean_elbo
from certibayes.seeding import generator
from certibayes.tasks.vae import Vae


@pytest.fixture
def network():
    torch.manual_seed(3)
    return build_decoder()


@pytest.fixture
def task(network, tmp_path):
    save_weights(tmp_path, network.state_dict(), {})
    task = Vae(VaeSpec())
    task.restore(tmp_path)
    return task


def test_pixels_are_those_of_the_stored_layers_in_float64(task, network):
    theta = task.sample_prior(50, generator("theta"))
    values = theta.numpy()
    layers = [layer for layer in network if hasattr(layer, "weight")]
    for layer in layers:
        weight = layer.weight.detach().double().numpy()
        values = values @ weight.T + layer.bias.detach().double().numpy()
        values = np.maximum(values, 0) if layer is not layers[-1] else 1 / (1 + np.exp(-values))
    assert [tuple(layer.weight.shape) for layer in layers] == [
        (500, 3),
        (500, 500),
        (500, 500),
        (784, 500),
    ]
    np.testing.assert_allclose(task.decode(theta).numpy(), values, rtol=0, atol=1e-12)


def test_noise_has_its_standard_deviation_in_every_pixel_independently(task):
    theta = task.sample_prior(1, generator("theta")).expand(4_000, -1)
    noise = (task.simulate(theta, generator("noise")) - task.decode(theta[:1])) / 0.05
    n = noise.numel()
    assert abs(float(noise.mean())) < 5 / math.sqrt(n)
    assert abs(float(noise.square().mean()) - 1) < 5 * math.sqrt(2 / n)
    assert float((noise.mean(0) * math.sqrt(4_000)).abs().max()) < 5.5
    neighbors = noise[:, :-1] * noise[:, 1:]
    assert abs(float(neighbors.mean())) < 5 / math.sqrt(neighbors.numel())


def test_log_likelihood_is_the_normal_density(task):
    theta = task.sample_prior(20, generator("theta"))
    x = task.simulate(theta, generator("noise"))
    density = Independent(Normal(task.decode(theta), 0.05), 1)
    torch.testing.assert_close(task.log_likelihood(theta, x), density.log_prob(x))
    torch.testing.assert_close(task.log_likelihood(theta, x[:1]), density.log_prob(x[:1]))


def test_without_a_decoder_nothing_is_simulated():
    task = Vae(VaeSpec())
    theta = task.sample_prior(2, generator("theta"))
    with pytest.raises(RuntimeError, match=r"vae: got a simulation before .* restore\(folder\)"):
        task.simulate(theta, generator("noise"))
    with pytest.raises(RuntimeError, match="allowed: restore"):
        task.log_likelihood(theta, torch.zeros(1, 784))


def test_the_bound_is_the_expected_likelihood_less_the_divergence():
    torch.manual_seed(0)
    model = VariationalAutoencoder(2, 30).double()
    x, noise = torch.rand(6, 30).double(), torch.randn(6, 2).double()
    mean, log_variance = model.encoder(x).chunk(2, 1)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    z = posterior.loc + posterior.scale * noise
    likelihood = Normal(model.decoder(z), 0.5).log_prob(x).sum(1)
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(model.elbo(x, noise), likelihood - divergence)
    whole = float(model.elbo(x, noise).detach().mean())
    assert mean_elbo(model, x, noise, 4) == pytest.approx(whole, rel=1e-12)


def test_the_mean_bound_stays_below_the_evidence():
    """With a decoder that is constant in z the evidence is known: the density at that constant."""
    torch.manual_seed(1)
    model = VariationalAutoencoder(2, 10).double()
    with torch.no_grad():
        model.decoder[0].weight.zero_()
    x = torch.rand(200, 10).double()
    evidence = Normal(model.decoder(torch.zeros(1, 2).double()), 0.5).log_prob(x).sum(1)
    noise = torch.randn(200, 2).double()
    assert (model.elbo(x, noise) <= evidence).all()
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.zero_()
    torch.testing.assert_close(model.elbo(x, noise), evidence)
