import builtins
import logging
import pickle
import random
import re
import sys
import time

import numpy as np
import pytest
import torch
from own_files import PRIOR, make, write

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import OwnSimulator as Spec
from certibayes.config.task_spec import Failures
from certibayes.simulation.call import call
from certibayes.tasks import own_trial
from certibayes.tasks.own_detection import find_convention
from certibayes.tasks.own_simulator import OwnSimulator

SIMULATORS = {
    "batched_torch": """
def simulate(theta):
    return torch.cat([theta, theta[:, :1]], 1) + 0.1 * torch.randn(len(theta), 3)
""",
    "batched_numpy": """
def simulate(theta):
    return np.concatenate([theta, theta[:, :1]], 1) + 0.1 * np.random.randn(len(theta), 3)
""",
    "single_torch": """
def simulate(theta):
    a, b = theta
    return torch.stack([a, b, a * b]) + 0.1 * torch.randn(3)
""",
    "single_numpy": """
def simulate(theta):
    a, b = theta
    return [a + random.gauss(0, 0.1), b + np.random.normal(0, 0.1), a]
""",
}
RANDOM = {name: code for name, code in SIMULATORS.items() if name != "single_numpy"}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def found(task):
    task.prepare()
    return task.findings()


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


@pytest.mark.parametrize("convention", SIMULATORS)
def test_randomness_comes_from_the_generator_and_global_states_are_kept(tmp_path, convention):
    task = make(tmp_path, SIMULATORS[convention])
    task.prepare()
    states = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())
    theta = task.sample_prior(5, generator(0))
    x = task.simulate(theta, generator(1))
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.equal(task.simulate(theta, generator(1)), x)
    assert not torch.equal(task.simulate(theta, generator(2)), x)
    assert torch.equal(task.sample_prior(5, generator(0)), theta)


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


def test_x_of_any_shape_is_flattened_and_said_so(tmp_path):
    image = make(tmp_path, "def simulate(theta):\n    return torch.randn(len(theta), 4, 5)\n")
    assert found(image)["x_shape"] == "(4, 5), flattened to 20"
    assert image.simulate(image.sample_prior(3, generator(0)), generator(0)).shape == (3, 20)
    scalar = make(tmp_path, "def simulate(theta):\n    return theta[:, 0]\n")
    assert found(scalar)["x_shape"] == "()"
    theta = scalar.sample_prior(3, generator(0))
    assert torch.allclose(scalar.simulate(theta, generator(0)), theta[:, :1])


@pytest.mark.parametrize("argument", ["seed", "rng", "generator"])
def test_a_second_argument_brings_randomness(tmp_path, argument):
    draw = {
        "seed": "np.random.default_rng(seed).normal(size=3)",
        "rng": "rng.normal(size=3)",
        "generator": "torch.randn(3, generator=generator).numpy()",
    }[argument]
    code = f"def simulate(theta, {argument}):\n    a, b = theta\n    return a + {draw}\n"
    task = make(tmp_path, code)
    theta = task.sample_prior(4, generator(0))
    x = task.simulate(theta, generator(1))
    assert torch.equal(task.simulate(theta, generator(1)), x)
    assert not torch.equal(task.simulate(theta, generator(2)), x)


def test_randomness_that_no_seed_reaches_is_refused(tmp_path):
    code = "def simulate(theta):\n    return theta + np.random.default_rng().normal(size=2)\n"
    task = make(tmp_path, code)
    with pytest.raises(ConfigError, match="two different x for the same theta and seed"):
        task.prepare()


@pytest.mark.parametrize("beside", [False, True])
def test_random_numbers_drawn_while_the_file_loads_are_the_same_ones(tmp_path, beside):
    draw = "import numpy as np\nA = np.random.randn()\n"
    write(tmp_path, draw, "drawn_beside.py")
    code = "from drawn_beside import A\n" if beside else draw
    code += "B = np.random.randn()\ndef simulate(theta):\n    return theta * A + B\n"
    first = make(tmp_path, code)
    first.prepare()
    sys.modules.pop("drawn_beside", None)
    np.random.randn(7)
    second = make(tmp_path, code)
    theta = torch.ones(3, 2)
    x = first.simulate(theta, generator(0))
    assert torch.equal(x, second.simulate(theta, generator(0)))


def test_random_numbers_that_no_seed_reaches_while_the_file_loads_are_refused(tmp_path):
    code = "A = np.random.default_rng().normal()\ndef simulate(theta):\n    return theta + A\n"
    with pytest.raises(ConfigError, match="two different x for the same theta and seed"):
        make(tmp_path, code).prepare()


def test_random_numbers_in_a_module_beside_that_no_seed_reaches_are_refused(tmp_path):
    write(tmp_path, "import numpy as np\nA = np.random.default_rng().normal()\n", "unseeded.py")
    code = "import unseeded\ndef simulate(theta):\n    return theta + unseeded.A\n"
    task = make(tmp_path, code)
    loaded = sys.modules["unseeded"]
    with pytest.raises(ConfigError, match="two different x for the same theta and seed"):
        task.prepare()
    assert sys.modules["unseeded"] is loaded


def test_a_file_that_loads_only_once_is_not_compared(tmp_path, caplog):
    code = """
import builtins
if hasattr(builtins, "loaded_once"):
    raise RuntimeError("twice")
builtins.loaded_once = True
def simulate(theta):
    return theta
"""
    task = make(tmp_path, code)
    try:
        assert found(task)["convention"] == "batched_numpy"
    finally:
        del builtins.loaded_once
    assert "RuntimeError: twice" in caplog.text


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


@pytest.mark.parametrize("value", ["[a, b]", "[[a], [a, b]]", "[]"])
def test_another_shape_is_counted_as_one(tmp_path, value):
    code = f"def simulate(theta):\n    a, b = theta\n    return [a, b, a] if a < 9 else {value}\n"
    task = make(tmp_path, code)
    task.prepare()
    assert call(task, torch.full((1, 2), 0.5), 0).shape == (1, 3)
    assert call(task, torch.full((1, 2), 9.5), 0).reason == "wrong_shape"


def test_what_is_no_number_is_counted_as_an_exception(tmp_path):
    code = "def simulate(theta):\n    a, b = theta\n    return a if a < 9 else None\n"
    task = make(tmp_path, code)
    task.prepare()
    assert call(task, torch.full((1, 2), 9.5), 0).reason == "exception"


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


def test_a_call_with_another_shape_raises(tmp_path):
    code = "def simulate(theta):\n    a, b = theta\n    return [a] * (3 if a < 9 else 2)\n"
    task = make(tmp_path, code)
    task.prepare()
    with pytest.raises(ValueError, match=r"got x of shape \(2,\)"):
        task.simulate(torch.full((1, 2), 9.5), generator(0))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def simulate(theta: return 1\n", r"my_model.py, line 1: running the file: SyntaxError"),
        ("import no_such_package\n", r"my_model.py, line 1: .*No module named 'no_such_package'"),
        ("\n1 / 0\n", r"my_model.py, line 2: running the file: ZeroDivisionError"),
        ("simulate = len\n", r"my_model.py: got no prior; allowed: a file that defines it"),
        (PRIOR, r"my_model.py: got no simulate"),
        (PRIOR + "simulate = 3\n", r"simulate: got int; allowed: a function of theta"),
        ("prior = 3\n", r"my_model.py: prior: got int; allowed: a distribution"),
        (PRIOR + "simulate = len\ntheta_names = ['a']\n", r"theta_names: got \['a'\]; .*2"),
    ],
)
def test_a_faulty_file_is_named_in_one_line(tmp_path, code, message):
    path = write(tmp_path, code)
    with pytest.raises(ConfigError, match=message) as caught:
        OwnSimulator(Spec(file=str(path)))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"file: got 'nowhere.py'"):
        OwnSimulator(Spec(file="nowhere.py"))


def test_modules_beside_the_file_can_be_imported_late(tmp_path):
    write(tmp_path, "def noise(n):\n    import beside_2\n    return beside_2.n(n)\n", "beside.py")
    write(tmp_path, "import numpy\ndef n(n):\n    return numpy.random.randn(n)\n", "beside_2.py")
    code = "import beside\ndef simulate(theta):\n    a, b = theta\n    return a + beside.noise(3)\n"
    task = make(tmp_path, code)
    theta = task.sample_prior(2, generator(0))
    assert task.simulate(theta, generator(0)).shape == (2, 3)


def test_a_worker_process_gets_what_was_found(tmp_path):
    task = make(tmp_path, SIMULATORS["single_numpy"])
    task.prepare()
    again = pickle.loads(pickle.dumps(task))  # noqa: S301 -- written the line before
    assert again.rows_per_call == 1
    assert again.findings() == task.findings()
    theta = task.sample_prior(3, generator(0))
    assert torch.equal(again.simulate(theta, generator(1)), task.simulate(theta, generator(1)))


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("np.zeros(20)", (1, 20)),
        ("np.zeros((4, 5))", (1, 20)),
        ("np.zeros((3, 20))", (3, 20)),
        ("torch.zeros(2, 4, 5)", (2, 20)),
        ("[0.0] * 20", (1, 20)),
    ],
)
def test_observed_may_be_one_or_several(tmp_path, value, shape):
    code = f"def simulate(theta):\n    return torch.randn(len(theta), 4, 5)\nobserved = {value}\n"
    observed = make(tmp_path, code).observed()
    assert observed.shape == shape
    assert observed.dtype == torch.float64


@pytest.mark.parametrize(
    ("value", "message"),
    [("np.zeros(7)", r"got shape \(7,\)"), ("[float('nan')] * 3", ".* not finite")],
)
def test_observed_that_is_no_x_is_refused(tmp_path, value, message):
    task = make(tmp_path, SIMULATORS["batched_torch"] + f"observed = {value}\n")
    with pytest.raises(ConfigError, match=f"observed: {message}"):
        task.observed()


def test_names_of_parameters(tmp_path):
    assert make(tmp_path, SIMULATORS["batched_torch"]).theta_names == ("theta_1", "theta_2")
    named = make(tmp_path, SIMULATORS["batched_torch"] + "theta_names = ['rate', 'width']\n")
    assert named.theta_names == ("rate", "width")
