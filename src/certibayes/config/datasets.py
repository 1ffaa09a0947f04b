"""Labelled data sets."""

from __future__ import annotations

from typing import ClassVar, Literal

from certibayes.config.task_spec import Form, TaskSpec


class Digits(TaskSpec):
    """The 1,797 8x8 images of scikit-learn, pixels in [0, 1]; the last 500 are the test set."""

    form: ClassVar[Form] = "classification"
    SHARD_SIZE: ClassVar[int] = 1_297
    ROWS: ClassVar[int] = 1_297
    kind: Literal["digits"] = "digits"
    test_pairs: Literal[500] = 500

    @property
    def rows(self) -> int | None:
        """Rows of the training part."""
        return self.ROWS


class MNIST(TaskSpec):
    """Handwritten digits, 28x28, pixels in [0, 1] (LeCun et al., 1998)."""

    form: ClassVar[Form] = "classification"
    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 60_000
    kind: Literal["mnist"] = "mnist"
    test_pairs: Literal[10_000] = 10_000

    @property
    def rows(self) -> int | None:
        """Rows of the training part."""
        return self.ROWS


class FashionMNIST(TaskSpec):
    """Articles of clothing, 28x28, pixels in [0, 1] (Xiao et al., 2017)."""

    form: ClassVar[Form] = "classification"
    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 60_000
    kind: Literal["fashion_mnist"] = "fashion_mnist"
    test_pairs: Literal[10_000] = 10_000

    @property
    def rows(self) -> int | None:
        """Rows of the training part."""
        return self.ROWS


class CIFAR10(TaskSpec):
    """Natural images, 3x32x32, pixels in [0, 1] (Krizhevsky, 2009)."""

    form: ClassVar[Form] = "classification"
    SHARD_SIZE: ClassVar[int] = 10_000
    ROWS: ClassVar[int] = 50_000
    kind: Literal["cifar10"] = "cifar10"
    test_pairs: Literal[10_000] = 10_000

    @property
    def rows(self) -> int | None:
        """Rows of the training part."""
        return self.ROWS
