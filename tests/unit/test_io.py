import hashlib
import json
import pickle

import numpy as np
import pytest
import torch

from certibayes import io
from certibayes.writing import PARTIAL, atomic, remove_partial


def test_atomic_keeps_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_half_way():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_shows_the_new_file_only_at_the_end_and_keeps_its_suffix(tmp_path):
    path = tmp_path / "new" / "figure.svg"
    with atomic(path) as temporary:
        temporary.write_text("done")
        assert not path.exists()
        assert temporary.suffix == ".svg"
        assert temporary.parent == path.parent
    assert path.read_text() == "done"
    assert len(list(path.parent.iterdir())) == 1


def test_remove_partial_removes_what_a_killed_writer_left_and_nothing_else(tmp_path):
    (tmp_path / f".x{PARTIAL}123.npz").write_text("half")
    (tmp_path / "x.npz").write_text("whole")
    remove_partial(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_json_round_trip_and_a_named_error(tmp_path):
    path = tmp_path / "a.json"
    io.write_json(path, {"a": [1, 2.5, None]})
    assert io.read_json(path) == {"a": [1, 2.5, None]}
    path.write_text("{")
    with pytest.raises(io.FileFormatError, match=r"a\.json"):
        io.read_json(path)


def test_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"content" * 100_000)
    assert io.sha256_of(path) == hashlib.sha256(b"content" * 100_000).hexdigest()


def test_arrays_round_trip_bit_by_bit_and_to_equal_bytes(tmp_path):
    arrays = {"x": np.arange(6.0).reshape(2, 3), "y": np.array([True, False]), "n": np.array("a")}
    io.save_arrays(tmp_path / "a.npz", arrays)
    io.save_arrays(tmp_path / "b.npz", arrays)
    loaded = io.load_arrays(tmp_path / "a.npz")
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_objects_are_neither_written_nor_read(tmp_path):
    objects = np.array([{}, []], dtype=object)
    with pytest.raises(TypeError, match="object"):
        io.save_arrays(tmp_path / "a.npz", {"x": objects})
    with pytest.raises(TypeError, match="object"):
        io.save_array(tmp_path / "a.npy", objects)
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "b.npz", x=objects)
    (tmp_path / "c.npz").write_bytes(pickle.dumps({"x": 1}))
    (tmp_path / "d.npz").write_bytes(b"PK garbage")
    for name in "bcd":
        with pytest.raises(io.FileFormatError, match=f"{name}.npz"):
            io.load_arrays(tmp_path / f"{name}.npz")


def test_save_array(tmp_path):
    io.save_array(tmp_path / "a.npy", np.arange(3))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.arange(3))


def test_weights_round_trip_with_transposed_and_shared_tensors(tmp_path):
    weight = torch.randn(3, 2)
    state = {"weight": weight.T, "same": weight, "scalar": torch.tensor(1.5)}
    io.save_weights(tmp_path, state, {"steps": 7})
    loaded, manifest = io.load_weights(tmp_path)
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert manifest["steps"] == 7
    assert manifest["shapes"] == {"weight": [2, 3], "same": [3, 2], "scalar": []}
    assert manifest["sha256"] == io.sha256_of(tmp_path / "weights.safetensors")


def test_weights_may_be_read_by_whoever_may_read_other_files(tmp_path):
    io.save_weights(tmp_path, {"w": torch.ones(4)}, {})
    weights, manifest = (tmp_path / name for name in (io.WEIGHTS, io.MANIFEST))
    assert weights.stat().st_mode == manifest.stat().st_mode


def test_a_flipped_bit_in_the_weights_is_a_named_error(tmp_path):
    io.save_weights(tmp_path, {"w": torch.ones(4)}, {})
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(io.WeightsError, match=r"weights.safetensors: sha256"):
        io.load_weights(tmp_path)


def test_weights_whose_manifest_lists_other_shapes_are_a_named_error(tmp_path):
    io.save_weights(tmp_path, {"w": torch.ones(4)}, {})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "shapes": {"w": [5]}}))
    with pytest.raises(io.WeightsError, match="shapes"):
        io.load_weights(tmp_path)


def test_a_manifest_may_not_bring_its_own_digest(tmp_path):
    with pytest.raises(ValueError, match="sha256"):
        io.save_weights(tmp_path, {"w": torch.ones(4)}, {"sha256": "0"})
