import pickle

import pytest
import torch
from own_files import PRIOR, SIMULATORS, found, generator, make, write

from certibayes.config.errors import ConfigError
from certibayes.config.simulators.own import OwnSimulator as Spec
from certibayes.simulation.call import call
from certibayes.tasks.own_simulator import OwnSimulator


def test_x_of_any_shape_is_flattened_and_said_so(tmp_path):
    image = make(tmp_path, "def simulate(theta):\n    return torch.randn(len(theta), 4, 5)\n")
    assert found(image)["x_shape"] == "(4, 5), flattened to 20"
    assert image.simulate(image.sample_prior(3, generator(0)), generator(0)).shape == (3, 20)
    scalar = make(tmp_path, "def simulate(theta):\n    return theta[:, 0]\n")
    assert found(scalar)["x_shape"] == "()"
    theta = scalar.sample_prior(3, generator(0))
    assert torch.allclose(scalar.simulate(theta, generator(0)), theta[:, :1])


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
