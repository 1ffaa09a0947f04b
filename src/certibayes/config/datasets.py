"""Labelled data sets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import StrictBool

from certibayes.config.task_spec import Form, TaskSpec


class DataSet(TaskSpec):
    """What every labelled data set states.

    Attributes:
        ROWS: rows of its training part.
        FEATURES: numbers of one x.
        RANGE: of all numbers.
        perturb_inactive: whether pixels that never vary in the training part are perturbed by
            attacks and defenses and covered by certificates too; else they are held fixed.
    """

    form: ClassVar[Form] = "classification"
    ROWS: ClassVar[int]
    FEATURES: ClassVar[int]
    RANGE: ClassVar[tuple[float, float]] = (0.0, 1.0)
    kind: str
    perturb_inactive: StrictBool = True

    @property
    def rows(self) -> int | None:
        """Rows of the training part."""
        return self.ROWS


class Digits(DataSet):
    """The 1,797 8x8 images of scikit-learn, pixels in [0, 1]; the last 500 are the test set."""

    SHARD_SIZE: ClassVar[int] = 1_297
    ROWS: ClassVar[int] = 1_297
    FEATURES: ClassVar[int] = 64
    kind: Literal["digits"] = "digits"
    test_pairs: Literal[500] = 500


class MNIST(DataSet):
    """Handwritten digits, 28x28, pixels in [0, 1] (LeCun et al., 1998)."""

    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 60_000
    FEATURES: ClassVar[int] = 784
    kind: Literal["mnist"] = "mnist"
    test_pairs: Literal[10_000] = 10_000


class FashionMNIST(DataSet):
    """Articles of clothing, 28x28, pixels in [0, 1] (Xiao et al., 2017)."""

    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 60_000
    FEATURES: ClassVar[int] = 784
    kind: Literal["fashion_mnist"] = "fashion_mnist"
    test_pairs: Literal[10_000] = 10_000


class CIFAR10(DataSet):
    """Natural images, 3x32x32, pixels in [0, 1] (Krizhevsky, 2009)."""

    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 50_000
    FEATURES: ClassVar[int] = 3_072
    kind: Literal["cifar10"] = "cifar10"
    test_pairs: Literal[10_000] = 10_000


class SVHN(DataSet):
    """Photographed digits of house numbers, 3x32x32, pixels in [0, 1] (Netzer et al., 2011)."""

    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 73_257
    FEATURES: ClassVar[int] = 3_072
    kind: Literal["svhn"] = "svhn"
    test_pairs: Literal[26_032] = 26_032
