import logging
import re
import time

import numpy as np
import pytest
import torch
from own_files import PRIOR, SIMULATORS, found, generator, make

from certibayes.config.errors import ConfigError
from certibayes.config.task_spec import Failures
from certibayes.tasks import own_trial
from certibayes.tasks.own_detection import find_convention


@pytest.mark.parametrize("convention", SIMULATORS)
def test_each_convention_is_found_and_simulates_the_same(tmp_path, convention):
    task = make(tmp_path, SIMULATORS[convention])
    assert found(task) == {"convention": convention, "x_shape": "(3,)"}
    assert task.x_dim == 3
    assert task.rows_per_call == (1_000 if convention.startswith("batched") else 1)
    theta = task.sample_prior(2_000, generator(0))
    x = task.simulate(theta, generator(1))
    assert (x.shape, x.dtype) == ((2_000, 3), torch.float64)
    residual = x[:, 0] - theta[:, 0]
    assert abs(float(residual.std()) - 0.1) < 0.01
    assert len(x[:, 0].unique()) == 2_000


ONE_AT_A_TIME = {
    "noise of theta's length": "return theta + np.random.randn(2)",
    "noise of theta's length in torch": "return theta + torch.randn(2)",
    "a mean over theta": "return theta - theta.mean() + 0 * np.random.randn()",
    "a fixed number of indices": "return np.array([theta[0], theta[1], theta[0] * theta[1]])",
    "as many values as a trial batch": "return np.array([theta[0], theta[1], theta[0]]) * 2.0",
    "as many values as theta": "return np.random.normal(np.linalg.norm(theta), 1, len(theta))",
    "a scalar": "return float(theta[0] + theta[1])",
    "discrete noise of theta's length": "return theta + np.random.poisson(50.0, 2)",
    "a whole time series": "return theta[0] * np.sin(np.arange(40.0)) + np.random.randn(40)",
}


@pytest.mark.parametrize("case", ONE_AT_A_TIME)
def test_a_function_of_one_theta_is_not_taken_for_a_batched_one(tmp_path, case):
    task = make(tmp_path, f"def simulate(theta):\n    {ONE_AT_A_TIME[case]}\n")
    assert found(task)["convention"].startswith("single")
    theta = task.sample_prior(1, generator(0)).expand(50, -1)
    x = task.simulate(theta, generator(1))
    if "random" in ONE_AT_A_TIME[case] and "0 * np" not in ONE_AT_A_TIME[case]:
        assert len(x.unique(dim=0)) > 10


@pytest.mark.parametrize(
    ("body", "convention"),
    [
        ("return theta ** 2", "batched_numpy"),
        ("return theta + torch.randn(theta.shape)", "batched_torch"),
        ("return torch.randn_like(theta) + theta", "batched_torch"),
        ("return theta.numpy() + np.random.randn(*theta.shape)", "batched_torch"),
        ("return theta[:, 0] + np.random.randn(len(theta))", "batched_numpy"),
        ("return np.random.binomial(1, 0.5, (len(theta), 1)) + 0 * theta[:, :1]", "batched_numpy"),
        ("return torch.as_tensor(theta).sum(-1, keepdim=True) + torch.randn(len(theta), 1)", None),
    ],
)
def test_batched_functions_of_many_kinds(tmp_path, body, convention):
    task = make(tmp_path, f"def simulate(theta):\n    {body}\n")
    assert found(task)["convention"] == (convention or found(task)["convention"])
    assert task.rows_per_call == 1_000


@pytest.mark.parametrize("theta_dim", [1, 3, 4])
def test_batches_to_try_never_have_the_size_of_theta(tmp_path, theta_dim):
    prior = f"import numpy as np, torch\nfrom torch.distributions import *\n\
prior = Normal(torch.zeros({theta_dim}), torch.ones({theta_dim}))\n"
    code = "def simulate(theta):\n    return np.stack([t * np.random.randn(5) for t in theta])[0]\n"
    task = make(tmp_path, code, prior)
    assert found(task)["convention"] == "single_numpy"
    assert task.x_dim == 5


def test_rows_that_share_a_stream_are_simulated_one_by_one_unless_stated(tmp_path):
    code = """
def simulate(theta):
    counts = np.exp(3 + 2 * theta[:, 0]).astype(int)
    return np.array([np.random.randn(count).sum() for count in counts])
"""
    task = make(tmp_path, code)
    said = found(task)
    assert said["convention"] == "batched_numpy"
    assert "another row" in said["one_row_at_a_time"]
    assert task.rows_per_call == 1
    stated = make(tmp_path, code, convention="batched_numpy", rows_per_call=50)
    assert found(stated) == {"convention": "batched_numpy", "x_shape": "()"}
    assert stated.rows_per_call == 50


def test_a_mean_over_the_batch_is_never_taken(tmp_path):
    code = "def simulate(theta):\n    return theta[:, :1] - theta[:, :1].mean(0) + 1\n"
    task = make(tmp_path, code)
    assert task.simulate(task.sample_prior(4, generator(0)), generator(0)).eq(1).all()


def fails_at_random(theta, seed):
    if np.random.default_rng(seed).random() < 0.25:
        raise RuntimeError("no solution")
    a, b = theta
    return a + b


def test_a_simulator_that_fails_at_random_is_found_all_the_same(tmp_path, monkeypatch):
    def draw(n, seed):
        return torch.rand(n, 2, generator=generator(seed))

    for start in range(0, 40_000, 1_000):
        monkeypatch.setattr(own_trial, "SEEDS", tuple(range(start, start + 4)))
        way = find_convention(fails_at_random, draw, torch.float32, None, None, tmp_path)
        assert way.convention == "single_numpy"


@pytest.mark.parametrize("swallows", [False, True])
def test_a_simulator_that_always_hangs_costs_one_limit_per_way(tmp_path, swallows, caplog):
    caplog.set_level(logging.INFO)
    code = "import time\ndef simulate(theta):\n    time.sleep(60)\n"
    if swallows:
        code = "import time\ndef simulate(theta):\n    try:\n        time.sleep(60)\n\
    except Exception:\n        return None\n"
    task = make(tmp_path, code, failures=Failures(time_limit=0.2))
    started = time.monotonic()
    with pytest.raises(ConfigError, match="allowed: a function of theta"):
        task.prepare()
    assert time.monotonic() - started < 6 * 0.2
    for convention in SIMULATORS:
        assert f"trying {convention}" in caplog.text


def test_two_ways_of_which_neither_is_known_to_be_wrong_are_refused(tmp_path):
    code = "def simulate(theta):\n    return [np.random.poisson(3 * t.sum()) for t in theta]\n"
    prior = PRIOR + "prior = Independent(Uniform(torch.zeros(3), torch.ones(3)), 1)\n"
    with pytest.raises(ConfigError, match="gives 3 numbers, as well as many, and gives 1 numbers"):
        make(tmp_path, code, prior).prepare()
    stated = make(tmp_path, code, prior, convention="single_numpy")
    assert found(stated)["x_shape"] == "(3,)"


def test_a_simulator_that_sometimes_raises_is_found_all_the_same(tmp_path):
    code = "def simulate(theta):\n    if (theta[:, 0] > 0.5).any():\n        raise ValueError\n\
    return theta\n"
    assert found(make(tmp_path, code))["convention"] == "batched_numpy"


def test_a_simulator_that_sometimes_hangs_is_found_all_the_same(tmp_path):
    code = "import time\ndef simulate(theta):\n    a, b = theta\n\
    if a > 0.5:\n        time.sleep(60)\n    return a\n"
    task = make(tmp_path, code, failures=Failures(time_limit=0.2))
    assert found(task)["convention"] == "single_numpy"


def test_when_nothing_works_the_message_says_what_each_way_gave(tmp_path):
    task = make(tmp_path, "def simulate(theta):\n    return {'x': theta[7]}\n")
    with pytest.raises(ConfigError) as caught:
        task.prepare()
    message = str(caught.value)
    for convention in SIMULATORS:
        line = re.search(f"^  {convention}: .*my_model.py, line 8: IndexError", message, re.M)
        assert line, message


def test_a_stated_convention_that_does_not_work_is_refused(tmp_path):
    task = make(tmp_path, SIMULATORS["single_torch"], convention="batched_torch")
    with pytest.raises(ConfigError, match=r"batched_torch: .*values to unpack"):
        task.prepare()
