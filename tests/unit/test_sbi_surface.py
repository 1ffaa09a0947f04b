"""What sbi 0.27's diagnostics ask of a posterior: calls as theirs, with theirs in float32."""

import pickle

import pytest
import torch
from trained_model import write_model

import certibayes
from certibayes.seeding import generator


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder, _, _ = write_model(tmp_path_factory.mktemp("base"))
    return certibayes.load(folder)


@pytest.fixture
def xs():
    return torch.randn(4, 10, generator=generator("xs"))


def test_sbc_and_tarp_draw_for_a_batch_or_for_one_observation_at_a_time(model, xs):
    batch = model.sample_batched((50,), x=xs, show_progress_bars=True)
    single = torch.stack([model.sample((50,), x=x, show_progress_bars=False) for x in xs])
    assert batch.shape == (50, 4, 10)
    assert single.permute(1, 0, 2).shape == batch.shape
    assert not batch.requires_grad
    assert model.sample_batched((50,), xs).numpy().shape == batch.shape


def test_expected_coverage_ranks_by_log_prob_with_x_in_the_second_place(model, xs):
    draws = model.sample_batched((200,), xs, generator=generator("draws"))
    truth = model.sample_batched((1,), xs, generator=generator("truth"))[0].float()
    reduce_fn = model.log_prob
    for i, x in enumerate(xs):
        values = reduce_fn(draws[:, i, :], x)
        torch.testing.assert_close(values, model.log_prob_batched(draws, xs)[:, i])
        rank = (values < reduce_fn(truth[i].unsqueeze(0), x)).sum().item()
        assert 0 < rank < 200


def test_workers_get_a_copy_that_draws_the_same(model, xs):
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    first, second = (m.sample((3,), x=xs[0], generator=generator("g")) for m in (model, copy))
    assert torch.equal(first, second)


def test_an_observation_stated_once_is_meant_from_then_on(model, xs):
    assert model.default_x is None
    with pytest.raises(ValueError, match="x: got None; allowed: an observation"):
        model.sample((3,))
    assert model.set_default_x(xs[0]) is model
    xs_0 = xs[0].clone()
    xs[0] = 7.0
    assert torch.equal(model.default_x, xs_0.double()[None])
    theta = model.sample((3,), generator=generator("g"))
    assert torch.equal(theta, model.sample((3,), x=xs_0, generator=generator("g")))
    assert torch.equal(model.log_prob(theta), model.log_prob(theta, x=xs_0))
    assert not torch.equal(model.log_prob(theta), model.log_prob(theta, x=xs[1]))
    model.default_x = xs[1]
    assert torch.equal(model.log_prob(theta), model.log_prob(theta, x=xs[1]))
    with pytest.raises(ValueError, match="got 2 observations"):
        model.set_default_x(xs[:2])
    assert torch.equal(model.default_x, xs[1:2].double())


def test_the_potential_is_the_log_density_and_has_its_gradient_on_request(model, xs):
    theta = model.sample((3,), x=xs[0])
    plain = model.potential(theta.float(), x=xs[0])
    assert not plain.requires_grad
    torch.testing.assert_close(plain, model.log_prob(theta.float(), x=xs[0]))
    assert model.potential(theta[0], xs[0]).shape == (1,)
    moving = theta.clone().requires_grad_()
    model.potential(moving, x=xs[0], track_gradients=True).sum().backward()
    step = torch.zeros(10, dtype=torch.float64)
    step[2] = 1e-5
    rise = model.log_prob(theta + step, x=xs[0]) - model.log_prob(theta - step, x=xs[0])
    torch.testing.assert_close(moving.grad[:, 2], rise / 2e-5, rtol=1e-5, atol=1e-7)
