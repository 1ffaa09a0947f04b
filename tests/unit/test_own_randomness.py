import builtins
import random
import sys

import numpy as np
import pytest
import torch
from own_files import SIMULATORS, found, generator, make, write

from certibayes.config.errors import ConfigError


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
