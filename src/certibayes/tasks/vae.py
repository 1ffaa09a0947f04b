"""The decoder of a variational autoencoder as a simulator (Gloeckler et al., 2023), 3 to 784."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from certibayes.config.tasks import TaskSpec
from certibayes.io import load_weights
from certibayes.networks.autoencoder import LATENTS, PIXELS, build_decoder
from certibayes.tasks.base import PosteriorTask

NOISE_STD = 0.05


class Vae(PosteriorTask):
    """Three latents of an image from its 28 x 28 noisy pixels.

    theta ~ N(0, I), x = decoder(theta) + N(0, 0.05^2 I); the decoder, 3-500-500-500-784 with ReLU
    and a sigmoid at the end, is that of a variational autoencoder of MNIST, in float64. It has to
    be restored before the first simulation. Source: Gloeckler, Deistler and Macke (2023).
    """

    theta_dim = LATENTS
    x_dim = PIXELS
    theta_names = ("z1", "z2", "z3")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        zeros = torch.zeros(LATENTS, dtype=torch.float64)
        self.prior: Independent = Independent(Normal(zeros, zeros + 1), 1)
        self._decoder: nn.Module | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the decoder too."""
        return *super().__reduce__(), {"_decoder": self._decoder}

    def restore(self, folder: Path) -> None:
        """Load the decoder.

        Args:
            folder: where weights.safetensors and manifest.json lie.

        Raises:
            FileNotFoundError: if one of them is missing.
            WeightsError: if the weights differ from what the manifest records.
        """
        state, _ = load_weights(folder)
        decoder = build_decoder()
        decoder.load_state_dict(state)
        self._decoder = decoder.double().eval().requires_grad_(False)

    def sample_prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw theta from the generator alone, shape (n, 3), float64."""
        return torch.randn(n, LATENTS, generator=generator, dtype=torch.float64)

    def decode(self, theta: Tensor) -> Tensor:
        """Return the noiseless pixels in (0, 1), shape (n, 784), float64.

        Args:
            theta: latents, shape (n, 3).

        Raises:
            RuntimeError: if no decoder was restored.
        """
        if self._decoder is None:
            raise RuntimeError(
                "vae: got a simulation before the decoder was restored; "
                "allowed: restore(folder) with the output of `certibayes decoder` first"
            )
        pixels: Tensor = self._decoder(theta.double())
        return pixels

    def simulate(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate noisy pixels, shape (n, 784), float64; a theta that is NaN gives a row of NaN.

        Args:
            theta: latents, shape (n, 3).
            generator: the only source of randomness.

        Raises:
            RuntimeError: if no decoder was restored.
        """
        pixels = self.decode(theta)
        noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
        return pixels + NOISE_STD * noise

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) of the normal noise, shape (n,), float64.

        Args:
            theta: latents, shape (n, 3).
            x: pixels, shape (n, 784) or (1, 784).

        Raises:
            RuntimeError: if no decoder was restored.
        """
        residual = (x.double() - self.decode(theta)) / NOISE_STD
        constant = math.log(2 * math.pi * NOISE_STD**2)
        return -0.5 * (residual.square() + constant).sum(1)
