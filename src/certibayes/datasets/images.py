"""What every labelled set of images offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np

Part = Literal["train", "test"]


class Images(ABC):
    """A labelled set of images with a fixed training and a fixed test part.

    Attributes:
        name: name of the data set.
    """

    name: str

    @property
    @abstractmethod
    def features(self) -> int:
        """Numbers per image."""

    @abstractmethod
    def rows(self, part: Part) -> int:
        """Return how many images a part has."""

    @abstractmethod
    def load(self, part: Part, rows: slice | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, shape (n,), and images, shape (n, features), both uint8, in file order.

        Args:
            part: "train" or "test".
            rows: consecutive rows; None = all.

        Raises:
            ChecksumError: if a file of the user's is not the published one.
            MissingFileError: if a file is neither found nor downloaded.
            ValueError: if the rows are not consecutive.
        """

    def span(self, part: Part, rows: slice | None) -> range:
        """Return the indices of consecutive rows of a part.

        Raises:
            ValueError: if the slice has a step.
        """
        indices = range(*(rows or slice(None)).indices(self.rows(part)))
        if indices.step != 1:
            raise ValueError(f"rows: got {rows}; allowed: consecutive rows")
        return indices
