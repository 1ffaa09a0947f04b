import lzma
import os
from pathlib import Path

import numpy as np
import pytest

# One worker per core: threads of torch's own would wait for one another. Tests' jobs inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Equality to the bit is asserted on the CPU; tests of other devices name theirs.
os.environ.setdefault("CERTIBAYES_DEVICE", "cpu")


@pytest.fixture(scope="session")
def data_root():
    """Folder of the shared data sets; without it tests skip, but under CI they fail."""
    root = Path(os.environ.get("CERTIBAYES_DATA", ""))
    if os.environ.get("CERTIBAYES_DATA") and root.is_dir():
        return root
    if os.environ.get("CI") == "true":
        pytest.fail(f"CERTIBAYES_DATA: got {str(root)!r}; allowed under CI: an existing folder")
    pytest.skip("CERTIBAYES_DATA is not set")


@pytest.fixture(scope="session")
def cifar10_root(data_root, tmp_path_factory):
    """A data root with the first training batch and the test batch of CIFAR-10, binary version."""
    root = tmp_path_factory.mktemp("cifar10")
    labels = np.load(data_root / "cifar10" / "labels.npz")
    (root / "cifar-10-batches-bin").mkdir()
    for name, y in (("data_batch_1", labels["y_train"][:10_000]), ("test_batch", labels["y_test"])):
        with lzma.open(data_root / "cifar10" / f"{name}.npy.xz") as stream:
            green, red, blue = np.load(stream).cumsum(2, dtype="u1").cumsum(3, dtype="u1")
        pixels = np.stack([red + green, green, blue + green], 1).reshape(len(y), -1)
        records = np.concatenate([y[:, None], pixels], 1)
        records.tofile(root / "cifar-10-batches-bin" / f"{name}.bin")
    return root


@pytest.fixture(scope="session")
def svhn_root(data_root):
    """A data root with the files of SVHN, which are not among the shared data sets."""
    folders = [data_root / name for name in ("svhn", "SVHN", ".")]
    files = ("train_32x32.mat", "test_32x32.mat")
    if not any(all((folder / file).is_file() for file in files) for folder in folders):
        pytest.skip(f"{data_root} has no {' and '.join(files)}")
    return data_root
