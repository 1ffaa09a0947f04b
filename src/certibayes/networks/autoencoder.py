"""Decoders of images and the variational autoencoder (Kingma and Welling, 2014) around them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from certibayes.networks.mlp import relu_layers

LATENTS = 3
PIXELS = 28 * 28
DECODER_HIDDEN = (500, 500, 500)
ENCODER_HIDDEN = (500, 500)
PIXEL_STD = 0.5


def build_decoder(latents: int = LATENTS, pixels: int = PIXELS) -> nn.Sequential:
    """Return a decoder with fresh weights: z, shape (batch, latents), to pixels in (0, 1)."""
    return nn.Sequential(*relu_layers((latents, *DECODER_HIDDEN, pixels)), nn.Sigmoid())


class VariationalAutoencoder(nn.Module):
    """p(x | z) = N(decoder(z), 0.5^2 I), z ~ N(0, I), and a diagonal Gaussian q(z | x).

    Widths of Gloeckler, Deistler and Macke (2023): encoder 500-500, decoder 500-500-500, ReLU.

    Attributes:
        latents: size of z.
        encoder: x to the mean and the log-variance of q(z | x), side by side.
        decoder: z to the mean of p(x | z).
    """

    def __init__(self, latents: int = LATENTS, pixels: int = PIXELS) -> None:
        super().__init__()
        self.latents = latents
        self.encoder = nn.Sequential(*relu_layers((pixels, *ENCODER_HIDDEN, 2 * latents)))
        self.decoder = build_decoder(latents, pixels)

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return log p(x | z) - KL(q(z | x) || p(z)) with one z per image, in nats, shape (batch,).

        Args:
            x: pixels in [0, 1], shape (batch, pixels).
            noise: standard normal, shape (batch, latents).
        """
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + (log_variance / 2).exp() * noise
        residual = (x - self.decoder(z)) / PIXEL_STD
        constant = math.log(2 * math.pi * PIXEL_STD**2)
        log_likelihood = -0.5 * (residual.square() + constant).sum(1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return log_likelihood - kl


@torch.no_grad()
def mean_elbo(model: VariationalAutoencoder, x: Tensor, noise: Tensor, batch: int) -> float:
    """Return the mean of `elbo` over images, `batch` at a time."""
    parts = zip(x.split(batch), noise.split(batch), strict=True)
    return sum(float(model.elbo(a, b).sum()) for a, b in parts) / len(x)
