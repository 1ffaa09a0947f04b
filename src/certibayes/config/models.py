"""Models: an estimator of theta or a network over labels, its weight inference and training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import (
    AtLeastTwo,
    Count,
    NonNegative,
    OpenFraction,
    Positive,
    PositiveInt,
    Spec,
)
from certibayes.config.embeddings import AnyEmbedding
from certibayes.config.inference import (
    AnyInference,
    EnsembleInference,
    HMCInference,
    MAPInference,
    MCDropoutInference,
    SWAGInference,
)
from certibayes.config.networks import (
    CNN,
    MLP,
    STATISTICS_SETTLED,
    AnyNetwork,
    normalizes,
)
from certibayes.config.presets import PresetSpec
from certibayes.config.tasks import Form

__all__ = [
    "CNN",
    "MAF",
    "MLP",
    "NSF",
    "AnyEstimator",
    "AnyNetwork",
    "Covariance",
    "Gaussian",
    "Mixture",
    "Model",
    "Standardization",
    "Training",
]

FEWEST_FOR_R_HAT = 4
"""Trajectories of a chain: split R-hat compares its halves, each with a variance."""


class Training(PresetSpec):
    """Optimiser (Adam) and schedule, shared by all models.

    Attributes:
        epochs: passes over the training rows, at most.
        batch_size: rows of a step.
        learning_rate: largest rate.
        schedule: "cosine" (decay to zero over all epochs), "constant", or "plateau" (halved after
            `plateau_epochs` epochs in a row without a better validation objective).
        warmup_steps: first steps, over which the rate grows linearly; 0 = none.
        plateau_epochs: patience of the schedule "plateau"; no other schedule reads it.
        gradient_clip: largest norm of the gradient of all weights.
        patience: epochs without a better validation objective before training stops and the best
            weights are restored; None = never, the last weights are kept.
        non_finite: what follows a loss or gradient that is not finite: "fail", no model and exit
            code 1, or "restore", the weights of the best finished epoch by the validation
            objective become the model, which says so, and exit code 0.
        checkpoint_seconds: time between two saved states.
    """

    SECTION: ClassVar[str] = "training"
    epochs: PositiveInt = 50
    batch_size: PositiveInt = 256
    learning_rate: Positive = 1e-3
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    warmup_steps: Count = 0
    plateau_epochs: PositiveInt = 5
    gradient_clip: Positive = 10.0
    patience: PositiveInt | None = None
    non_finite: Literal["fail", "restore"] = "fail"
    checkpoint_seconds: Positive = 10.0


Covariance = Literal["full", "diagonal"]


class Gaussian(PresetSpec):
    """q(theta | x) = N(mean(x), covariance(x)), up to the bijection to the prior's support.

    Attributes:
        covariance: "full" or "diagonal", of the unconstrained parameters.
        hidden: units of every hidden layer.
        embedding: network that the estimator sees standardised x through; None = x itself.
        squash: pass standardised x through asinh: tames heavy tails, e.g. log counts of extinct
            species.
    """

    SECTION: ClassVar[str] = "estimator.gaussian"
    kind: Literal["gaussian"] = "gaussian"
    covariance: Covariance = "full"
    hidden: tuple[PositiveInt, ...] = (64, 64)
    embedding: AnyEmbedding | None = None
    squash: StrictBool = False


class Mixture(PresetSpec):
    """q(theta | x) = sum_k w_k(x) N(mean_k(x), covariance_k(x)) (Bishop, 1994).

    Attributes:
        components: number of Gaussians.
        covariance: of each, "diagonal" or "full", of the unconstrained parameters.
        hidden: units of every hidden layer, shared by all components.
        embedding: network that the estimator sees standardised x through; None = x itself.
        squash: pass standardised x through asinh: tames heavy tails.
    """

    SECTION: ClassVar[str] = "estimator.mixture"
    kind: Literal["mixture"] = "mixture"
    components: PositiveInt = 5
    covariance: Covariance = "diagonal"
    hidden: tuple[PositiveInt, ...] = (64, 64)
    embedding: AnyEmbedding | None = None
    squash: StrictBool = False


class MAF(PresetSpec):
    """Masked autoregressive flow (Papamakarios et al., 2017) on nflows.

    Attributes:
        transforms: number of transforms, each with a network of its own.
        hidden: units of every hidden layer.
        blocks: hidden layers behind the first.
    """

    SECTION: ClassVar[str] = "estimator.maf"
    kind: Literal["maf"] = "maf"
    transforms: PositiveInt = 3
    hidden: PositiveInt = 50
    blocks: PositiveInt = 2
    embedding: AnyEmbedding | None = None
    """Network that the estimator sees standardised x through; None = x itself."""
    squash: StrictBool = False
    """Pass standardised x through asinh: tames heavy tails, e.g. log counts of extinct species."""


class NSF(PresetSpec):
    """Autoregressive neural spline flow (Durkan et al., 2019) on nflows.

    Attributes:
        transforms: number of transforms, each an affine step and a spline per parameter.
        hidden: units of every hidden layer.
        blocks: hidden layers behind the first.
        bins: of each spline between -bound and bound; outside it is the identity.
        bound: in units of the affine step's output, about standard deviations.
        smallest_bin: least width and height of a bin as a share of the splines' range.
        steepest: derivatives at the knots lie in [1 / steepest, steepest].
        embedding: network that the estimator sees standardised x through; None = x itself.
        squash: pass standardised x through asinh: tames heavy tails.
    """

    SECTION: ClassVar[str] = "estimator.nsf"
    kind: Literal["nsf"] = "nsf"
    transforms: PositiveInt = 3
    hidden: PositiveInt = 50
    blocks: PositiveInt = 2
    bins: AtLeastTwo = 10
    bound: Positive = 5.0
    smallest_bin: Positive = 1e-2
    steepest: Positive = 30.0
    embedding: AnyEmbedding | None = None
    squash: StrictBool = False

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> NSF:
        if self.smallest_bin * self.bins >= 1:
            raise ValueError(
                f"smallest_bin: got {self.smallest_bin}; "
                f"allowed: below 1 / bins = {1 / self.bins:.3g}"
            )
        if self.steepest <= 1:
            raise ValueError(f"steepest: got {self.steepest}; allowed: above 1")
        return self


AnyEstimator = Annotated[Gaussian | Mixture | MAF | NSF, Field(discriminator="kind")]


class Standardization(PresetSpec):
    """What an estimator subtracts from x and divides it by, from the training pairs.

    Attributes:
        by: "quartiles", median and interquartile range / 1.349 (the std of a Gaussian), because
            simulators have heavy tails; "moments", mean and std.
        floor: least divisor, raw units of x. A feature that hardly varies otherwise makes a
            network that is as sensitive to it as to any other.
    """

    SECTION: ClassVar[str] = "standardization"
    by: Literal["quartiles", "moments"] = "quartiles"
    floor: NonNegative = 0.0


class Model(Spec):
    """A conditional distribution: `estimator` (of theta) or `network` (over labels), not both.

    `members` above 1 makes an ensemble: so many models with own initial weights and batch orders,
    each trained with the whole defense; q is the mean of theirs. The first member is the model
    that `members: 1` makes under the same name.
    """

    estimator: AnyEstimator | None = None
    """Of theta, for a simulator."""
    network: AnyNetwork | None = None
    """Over labels, for a labelled data set."""
    inference: AnyInference = MAPInference()
    """How the weights of a network are inferred; an estimator has `map`."""
    members: PositiveInt = 1
    """Above 1: an ensemble."""
    standardization: Standardization = Standardization()
    """Of an estimator; a network sees x as it is."""
    training: Training = Training()
    """Schedule of `train`, and of every defense without one of its own."""
    validation_fraction: OpenFraction = 0.05
    """Share of the training rows that validates and is not trained on."""

    @model_validator(mode="after")
    def _one_kind(self) -> Model:
        if (self.estimator is None) == (self.network is None):
            raise ValueError("got both or none; allowed: exactly one of estimator, network")
        if self.estimator is not None and self.inference.kind != "map":
            raise ValueError(
                f"inference.kind: got {self.inference.kind!r}; allowed with an estimator: map"
            )
        return self

    @model_validator(mode="after")
    def _training_suits_the_inference(self) -> Model:
        spec, training = self.inference, self.training
        if isinstance(spec, SWAGInference | HMCInference) and training.patience is not None:
            raise ValueError(
                f"training.patience: got {training.patience}; allowed with inference.kind "
                f"{spec.kind!r}: null, because it collects weights at the end"
            )
        if isinstance(spec, SWAGInference | HMCInference) and training.non_finite == "restore":
            raise ValueError(
                "training.non_finite: got 'restore'; allowed with inference.kind "
                f"{spec.kind!r}: fail, because it collects weights at the end"
            )
        if isinstance(spec, HMCInference):
            kept = training.epochs - spec.warmup_of(training.epochs)
            needed = spec.stored_samples // spec.chains
            if kept < needed:
                raise ValueError(
                    f"training.epochs: got {training.epochs}, which leaves {kept} trajectories "
                    f"after the warm-up; allowed: at least stored_samples / chains = {needed}"
                )
            if kept < FEWEST_FOR_R_HAT:
                raise ValueError(
                    f"training.epochs: got {training.epochs}, which leaves {kept} trajectories "
                    f"after the warm-up; allowed: at least {FEWEST_FOR_R_HAT}, two in each half of "
                    "a chain for R-hat"
                )
        if isinstance(spec, EnsembleInference) and spec.perturbation == "targets":
            raise ValueError(
                "inference.perturbation: got 'targets'; allowed with labels: none, weights"
            )
        return self

    @model_validator(mode="after")
    def _something_drops_out(self) -> Model:
        spec, network = self.inference, self.network
        shallow = isinstance(network, MLP) and not network.hidden
        if isinstance(spec, MCDropoutInference) and shallow and not spec.drop_first:
            raise ValueError(
                "inference.drop_first: got False; allowed with network.hidden []: true, "
                "because no other input drops out"
            )
        return self

    @model_validator(mode="after")
    def _statistics_are_shared(self) -> Model:
        if not normalizes(self.network):
            return self
        if self.members > 1:
            raise ValueError(
                f"members: got {self.members} with network.batch_norm; allowed: 1, because a "
                "predictive has one set of statistics; inference.kind: ensemble shares them"
            )
        spec = self.inference
        if isinstance(spec, SWAGInference) and spec.start < STATISTICS_SETTLED:
            raise ValueError(
                f"inference.start: got {spec.start} with network.batch_norm; allowed: at least "
                f"{STATISTICS_SETTLED}, because statistics move before"
            )
        return self

    def with_training(self, training: Training) -> Model:
        """Return the model with another training.

        Raises:
            ValidationError: if that does not suit the inference.
        """
        return Model.model_validate({**dict(self), "training": training})

    @property
    def form(self) -> Form:
        """What the model infers."""
        return "posterior" if self.estimator is not None else "classification"
