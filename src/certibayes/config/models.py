"""Models: an estimator of theta or a network over labels, its weight inference and training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import AtLeastTwo, OpenFraction, Positive, PositiveInt, Spec
from certibayes.config.tasks import Form


class Training(Spec):
    """Optimiser and schedule, shared by all models (Adam, cosine decay to zero)."""

    epochs: PositiveInt = 50
    batch_size: PositiveInt = 256
    learning_rate: Positive = 1e-3
    gradient_clip: Positive = 10.0
    patience: PositiveInt | None = None
    """Epochs without a better validation objective before training stops; None = never."""
    checkpoint_seconds: Positive = 10.0


class Gaussian(Spec):
    """q(theta | x) = N(mean(x), covariance(x)) with a full covariance."""

    kind: Literal["gaussian"] = "gaussian"
    hidden: tuple[PositiveInt, ...] = (64, 64)
    squash: StrictBool = False
    """Pass standardised x through asinh: tames heavy tails, e.g. log counts of extinct species."""


class MAF(Spec):
    """Masked autoregressive flow (Papamakarios et al., 2017) on nflows."""

    kind: Literal["maf"] = "maf"
    transforms: PositiveInt = 3
    hidden: PositiveInt = 50
    blocks: PositiveInt = 2
    squash: StrictBool = False
    """Pass standardised x through asinh: tames heavy tails, e.g. log counts of extinct species."""


class NSF(Spec):
    """Autoregressive neural spline flow (Durkan et al., 2019) on nflows.

    Attributes:
        transforms: number of transforms, each an affine step and a spline per parameter.
        hidden: units of every hidden layer.
        blocks: hidden layers behind the first.
        bins: of each spline between -bound and bound; outside it is the identity.
        bound: in units of the affine step's output, about standard deviations.
        smallest_bin: least width and height of a bin as a share of the splines' range.
        steepest: derivatives at the knots lie in [1 / steepest, steepest].
        squash: pass standardised x through asinh: tames heavy tails.
    """

    kind: Literal["nsf"] = "nsf"
    transforms: PositiveInt = 3
    hidden: PositiveInt = 50
    blocks: PositiveInt = 2
    bins: AtLeastTwo = 10
    bound: Positive = 5.0
    smallest_bin: Positive = 1e-2
    steepest: Positive = 30.0
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


class MLP(Spec):
    """Multi-layer perceptron with one logit per class."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = (128,)


class MAPInference(Spec):
    """One weight vector, maximum a posteriori with a flat prior."""

    kind: Literal["map"] = "map"


class BBBInference(Spec):
    """Mean-field Gaussian variational weights (Blundell et al., 2015).

    The objective per example is log-likelihood - kl_weight * KL(q || p) / N. The prior is
    N(0, prior_std^2); with `prior_fan_in`, matrices have std prior_std / sqrt(fan_in).
    kl_weight < 1 makes a tempered ("cold") posterior.
    """

    kind: Literal["bbb"] = "bbb"
    prior_std: Positive = 1.0
    prior_fan_in: StrictBool = True
    kl_weight: Positive = 1.0
    initial_std: Positive = 0.02
    train_samples: PositiveInt = 1
    stored_samples: PositiveInt = 32
    """Weight samples stored after training: the fixed finite ensemble that predicts."""


AnyEstimator = Annotated[Gaussian | MAF | NSF, Field(discriminator="kind")]
AnyNetwork = MLP
AnyInference = Annotated[MAPInference | BBBInference, Field(discriminator="kind")]


class Model(Spec):
    """A conditional distribution: `estimator` (of theta) or `network` (over labels), not both."""

    estimator: AnyEstimator | None = None
    network: AnyNetwork | None = None
    inference: AnyInference = MAPInference()
    training: Training = Training()
    validation_fraction: OpenFraction = 0.05

    @model_validator(mode="after")
    def _one_kind(self) -> Model:
        if (self.estimator is None) == (self.network is None):
            raise ValueError("got both or none; allowed: exactly one of estimator, network")
        if self.estimator is not None and self.inference.kind != "map":
            raise ValueError(
                f"inference.kind: got {self.inference.kind!r}; allowed with an estimator: map"
            )
        return self

    @property
    def form(self) -> Form:
        """What the model infers."""
        return "posterior" if self.estimator is not None else "classification"
