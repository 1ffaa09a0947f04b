"""Stage `decoder`: train the autoencoder of MNIST whose decoder is a task's simulator."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from certibayes.attempt import attempt
from certibayes.config.jobs import DecoderJob
from certibayes.datasets.images import Part
from certibayes.datasets.mnist import MNIST
from certibayes.decoder_training import WHITE, build_autoencoder, fit_decoder
from certibayes.io import save_weights
from certibayes.layout import Layout
from certibayes.networks.autoencoder import mean_elbo
from certibayes.seeding import generator

log = logging.getLogger(__name__)
TEST_BATCH = 2_000


def run(job: DecoderJob, layout: Layout, code: str) -> None:
    """Write the decoder's weights and manifest; the data sets' checksums stand for the inputs."""
    folder = layout.decoder(job)
    with attempt("decoder", job, code, layout, inputs=[], outputs=folder) as run:
        model = build_autoencoder()

        def report(step: int, values: dict[str, float]) -> None:
            run.metrics(values, step=step)
            log.info("step %d: evidence lower bound %.2f", step, values["decoder/elbo"])

        result = fit_decoder(
            model,
            _images("train"),
            job.task_spec.epochs,
            checkpoint=run.checkpoint,
            interruption=run.interruption,
            report=report,
        )
        x = _images("test").float() / WHITE
        noise = torch.randn(len(x), model.latents, generator=generator("decoder", "test"))
        elbo = mean_elbo(model, x, noise, TEST_BATCH)
        manifest = {
            "job": job.model_dump(mode="json"),
            "steps": result.steps,
            "seconds": result.seconds,
            "test_elbo": elbo,
        }
        save_weights(folder, model.decoder.state_dict(), manifest)
        log.info("evidence lower bound of the test images: %.2f", elbo)
        run.finished(
            {
                "decoder/steps": result.steps,
                "decoder/seconds": result.seconds,
                "decoder/test_elbo": elbo,
            }
        )


def _images(part: Part) -> Tensor:
    return torch.tensor(MNIST.load(part)[1])
