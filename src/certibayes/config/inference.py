"""How weights are inferred: prior, tempering and the settings of every method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from certibayes.config.base import (
    AtLeastTwo,
    NonNegative,
    OpenFraction,
    Positive,
    PositiveInt,
    Spec,
)

FORGETTING = 20.0
"""Memories of the averaged curvature in a training: exp(-20) of the initial precision is left."""
FASTEST = 0.1
"""Largest weight of the present that is chosen by the number of steps."""


InitialStd = Annotated[float, Field(strict=True, ge=1e-9, le=1e3)]
"""Of weights: its square and the inverse of that are numbers in float32."""


class Prior(Spec):
    """Prior N(0, prior_std^2) of every weight.

    Attributes:
        prior_std: standard deviation.
        prior_fan_in: parameters of two or more dimensions have prior_std / sqrt(fan_in) instead.
    """

    prior_std: Positive = 1.0
    prior_fan_in: StrictBool = True


class Variational(Prior):
    """A distribution q over weights that maximizes E_q[log-likelihood] - kl_weight * KL(q || p).

    Attributes:
        kl_weight: below 1 makes a tempered ("cold") posterior: the likelihood to the power
            1 / kl_weight, times the prior.
        train_samples: weight vectors drawn per step.
        stored_samples: weight vectors stored after training: the fixed finite ensemble that
            predicts.
    """

    kl_weight: Positive = 1.0
    train_samples: PositiveInt = 1
    stored_samples: PositiveInt = 32


class MeanField(Variational):
    """Independent Gaussian weights.

    Attributes:
        initial_std: of every weight, at the start.
    """

    initial_std: InitialStd = 0.02


class Tempered(Prior):
    """The density likelihood^likelihood_power * prior, up to its constant.

    Attributes:
        likelihood_power: 1 is Bayes; above 1 is a "cold" likelihood, as kl_weight = 1 / power is
            in a variational method.
    """

    likelihood_power: Positive = 1.0


class MAPInference(Spec):
    """One weight vector, maximum a posteriori.

    Attributes:
        prior_std: of the prior N(0, prior_std^2) of every weight; None = flat.
        prior_fan_in: parameters of two or more dimensions have prior_std / sqrt(fan_in) instead.
        likelihood_power: the maximum is that of likelihood^likelihood_power * prior.
    """

    kind: Literal["map"] = "map"
    prior_std: Positive | None = None
    prior_fan_in: StrictBool = True
    likelihood_power: Positive = 1.0


class BBBInference(MeanField):
    """Mean-field Gaussian variational weights by gradient descent (Blundell et al., 2015)."""

    kind: Literal["bbb"] = "bbb"


class NaturalGradient(MeanField):
    """Mean-field Gaussian variational weights by natural-gradient steps on mean and precision.

    Attributes:
        mean_rate: largest share of a Newton step that the mean takes; the schedule shapes it, and
            `learning_rate` is not used.
        momentum: weight of the past in the averaged gradient.
        precision_rate: weight of the present in the averaged curvature; None = `FORGETTING` over
            the steps of the training, at most `FASTEST`: next to nothing is left of the initial
            precision, and the last twentieth of the steps decides.
        damping: added to the curvature per example where it divides a step of the mean; the
            distribution does not see it.
    """

    mean_rate: Positive = 0.03
    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.9
    precision_rate: OpenFraction | None = None
    damping: NonNegative = 0.0

    def precision_rate_of(self, steps: int) -> float:
        """Return the weight of the present in a training of so many steps."""
        if self.precision_rate is not None:
            return self.precision_rate
        return min(FORGETTING / steps, FASTEST)


class VOGNInference(NaturalGradient):
    """Variational online Gauss-Newton (Khan et al., 2018; Lin et al., 2020).

    Attributes:
        curvature: "sampled", the mean of squared per-example gradients at targets that the model
            draws, estimated without bias from one gradient of their randomly signed sum; "signs",
            the same at the data's targets; "per_example", as "signs" from every gradient by itself,
            as many backward passes as the batch has examples;
            "reparametrized", the Hessian's expectation from the gradient at the drawn weights.
    """

    kind: Literal["vogn"] = "vogn"
    curvature: Literal["sampled", "signs", "per_example", "reparametrized"] = "sampled"


class NoisyAdamInference(NaturalGradient):
    """Noisy Adam (Zhang et al., 2018; Khan et al., 2018): squared minibatch gradients."""

    kind: Literal["noisy_adam"] = "noisy_adam"


class SWAGInference(Tempered):
    """Gaussian of the iterates of SGD with a constant rate (Maddox et al., 2019).

    Attributes:
        covariance: "diagonal", or "low_rank": half of it, and half of the covariance of the last
            `rank` iterates.
        rank: iterates kept for "low_rank".
        start: share of training by Adam, after which SGD starts.
        collection_rate: constant rate of SGD; it decides how wide the Gaussian is.
        iterates: number of iterates collected, evenly spaced.
        stored_samples: weight vectors stored after training.
    """

    kind: Literal["swag"] = "swag"
    covariance: Literal["diagonal", "low_rank"] = "low_rank"
    rank: AtLeastTwo = 20
    start: OpenFraction = 0.75
    collection_rate: Positive = 1e-2
    iterates: AtLeastTwo = 40
    stored_samples: PositiveInt = 32

    @model_validator(mode="after")
    def _rank_is_collected(self) -> SWAGInference:
        if self.covariance == "low_rank" and self.rank > self.iterates:
            raise ValueError(f"rank: got {self.rank}; allowed: at most iterates = {self.iterates}")
        return self


class HMCInference(Tempered):
    """Hamiltonian Monte Carlo on all training pairs (Neal, 2011; Hoffman and Gelman, 2014).

    One epoch is one trajectory of every chain.

    Attributes:
        chains: independent chains.
        warmup: share of the trajectories, at least one, that adapt the step size and are thrown
            away.
        leapfrog_steps: largest number of steps of a trajectory, drawn from its upper half.
        initial_step_size: in units of the prior's std.
        target_acceptance: that the step size is adapted to.
        initial_std: of the noise that sets the chains apart at the start.
        stored_samples: draws stored, evenly spaced, equally many of every chain.
    """

    kind: Literal["hmc"] = "hmc"
    chains: AtLeastTwo = 4
    warmup: OpenFraction = 0.5
    leapfrog_steps: PositiveInt = 20
    initial_step_size: Positive = 0.05
    target_acceptance: OpenFraction = 0.8
    initial_std: NonNegative = 0.1
    stored_samples: PositiveInt = 32

    @model_validator(mode="after")
    def _equally_many(self) -> HMCInference:
        if self.stored_samples % self.chains:
            raise ValueError(
                f"stored_samples: got {self.stored_samples}; allowed: multiples of chains = "
                f"{self.chains}"
            )
        return self

    def warmup_of(self, trajectories: int) -> int:
        """Return how many of all trajectories adapt the step size."""
        return max(1, int(self.warmup * trajectories))


class EnsembleInference(Tempered):
    """Members that are each a maximum a posteriori of their own (Pearce et al., 2020).

    Attributes:
        anchored: every member is drawn to a draw from the prior instead of to zero.
        perturbation: "targets", every member adds own noise N(0, target_noise_std^2) to real-valued
            targets; "weights", every member weighs examples by own Exp(1) weights (Newton and
            Raftery, 1994); both stay fixed during training. "none": neither.
        target_noise_std: of the noise added to targets; exact if it is that of the likelihood to
            the power likelihood_power, its own std / sqrt(likelihood_power).
        stored_samples: number of members.
    """

    kind: Literal["ensemble"] = "ensemble"
    anchored: StrictBool = True
    perturbation: Literal["none", "targets", "weights"] = "none"
    target_noise_std: Positive = 1.0
    stored_samples: AtLeastTwo = 5


class MCDropoutInference(Variational):
    """Weights whose inputs drop out at random (Gal and Ghahramani, 2016).

    Attributes:
        rate: probability that an input of a layer drops out.
        drop_first: inputs of the first layer, the features of x, drop out too.
    """

    kind: Literal["mc_dropout"] = "mc_dropout"
    rate: OpenFraction = 0.1
    drop_first: StrictBool = False


AnyInference = Annotated[
    MAPInference
    | BBBInference
    | VOGNInference
    | NoisyAdamInference
    | SWAGInference
    | HMCInference
    | EnsembleInference
    | MCDropoutInference,
    Field(discriminator="kind"),
]

DRAWN_AFRESH = ("bbb", "vogn", "noisy_adam", "swag", "mc_dropout")
"""Kinds whose posterior gives any number of independent weight vectors after training."""
MEAN_FIELD = ("bbb", "vogn", "noisy_adam")
"""Kinds whose posterior is a product of Gaussians."""
