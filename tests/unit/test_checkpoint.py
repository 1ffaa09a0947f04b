import math

import pytest
import torch

from certibayes.checkpoint import Checkpoint, CheckpointError


def test_nothing_saved_is_none(tmp_path):
    assert Checkpoint(tmp_path / "c.safetensors").load() is None


def test_the_state_of_an_optimizer_and_a_generator_come_back_exactly(tmp_path):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    module(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    source = torch.Generator().manual_seed(5)
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    checkpoint.save(
        {"optimizer": optimizer.state_dict(), "generator": source.get_state(), "seed": 2**62 + 1}
    )
    loaded = checkpoint.load()
    expected = optimizer.state_dict()
    assert loaded["seed"] == 2**62 + 1
    assert loaded["optimizer"]["param_groups"] == expected["param_groups"]
    for index, state in expected["state"].items():
        for name, value in state.items():
            assert torch.equal(loaded["optimizer"]["state"][index][name], value)
    optimizer.load_state_dict(loaded["optimizer"])
    again = torch.Generator()
    again.set_state(loaded["generator"])
    assert torch.equal(torch.rand(3, generator=again), torch.rand(3, generator=source))


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        [],
        {"a": [1, 2.5, "x", True, None, (3, -math.inf)], 4: {"b": []}},
        {"tensor": "not a tensor", "dict": [["a", 1]]},
    ],
)
def test_structure_and_types_come_back(tmp_path, state):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    checkpoint.save(state)
    loaded = checkpoint.load()
    assert loaded == state
    assert repr(loaded) == repr(state)


def test_a_saved_state_does_not_follow_the_tensors(tmp_path):
    checkpoint, tensor = Checkpoint(tmp_path / "c.safetensors"), torch.zeros(2, 3)
    checkpoint.save({"a": tensor, "view": tensor.T})
    tensor += 1
    loaded = checkpoint.load()
    assert torch.equal(loaded["a"], torch.zeros(2, 3))
    assert loaded["view"].shape == (3, 2)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04K\x01.", None, -1])
def test_a_half_or_foreign_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "c.safetensors"
    checkpoint = Checkpoint(path)
    checkpoint.save({"a": torch.ones(100)})
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:content] if content else whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"c\.safetensors"):
        checkpoint.load()


@pytest.mark.parametrize("state", [{"a": object()}, {"a": {1.5: 1}}, {"a": {1, 2}}])
def test_other_types_are_refused_by_place_and_the_old_state_stays(tmp_path, state):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    checkpoint.save(1)
    with pytest.raises(TypeError, match=r"state\.'a'"):
        checkpoint.save(state)
    assert checkpoint.load() == 1
