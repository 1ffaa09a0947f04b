"""Names of every kind of plug-in and where each lives; nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FOREIGN = ("sbi_flow", "sbi_mixture")
"""Estimators around networks trained elsewhere, which are audited: no study names them."""

REGISTRY: dict[str, dict[str, str]] = {
    "task": {
        "gaussian_linear": "certibayes.tasks.gaussian_linear:GaussianLinear",
        "gaussian_linear_sbibm": "certibayes.tasks.gaussian_linear_sbibm:GaussianLinearSbibm",
        "lotka_volterra": "certibayes.tasks.lotka_volterra:LotkaVolterra",
        "sir": "certibayes.tasks.sir:SIR",
        "spatial_sir": "certibayes.tasks.spatial_sir:SpatialSIR",
        "lynx_hare": "certibayes.tasks.lynx_hare:LynxHare",
        "two_moons": "certibayes.tasks.two_moons:TwoMoons",
        "slcp": "certibayes.tasks.slcp:Slcp",
        "gaussian_mixture": "certibayes.tasks.gaussian_mixture:GaussianMixture",
        "bernoulli_glm": "certibayes.tasks.bernoulli_glm:BernoulliGlm",
        "digits": "certibayes.tasks.digits:Digits",
        "hodgkin_huxley": "certibayes.tasks.hodgkin_huxley:HodgkinHuxley",
        "hodgkin_huxley_allen": "certibayes.tasks.hodgkin_huxley_allen:HodgkinHuxleyAllen",
        "vae": "certibayes.tasks.vae:Vae",
        "pyloric_traces": "certibayes.tasks.pyloric_traces:PyloricTraces",
        "pyloric_summary": "certibayes.tasks.pyloric_summary:PyloricSummary",
        "lotka_volterra_sbibm": "certibayes.tasks.lotka_volterra_sbibm:LotkaVolterraSbibm",
        "sir_sbibm": "certibayes.tasks.sir_sbibm:SIRSbibm",
        "mnist": "certibayes.tasks.mnist:MNIST",
        "fashion_mnist": "certibayes.tasks.fashion_mnist:FashionMNIST",
        "cifar10": "certibayes.tasks.cifar10:CIFAR10",
        "svhn": "certibayes.tasks.svhn:SVHN",
        "file": "certibayes.tasks.own_simulator:OwnSimulator",
        "folder": "certibayes.tasks.own_pairs:OwnPairs",
    },
    "estimator": {
        "gaussian": "certibayes.estimators.gaussian:GaussianEstimator",
        "mixture": "certibayes.estimators.mixture:MixtureEstimator",
        "maf": "certibayes.estimators.maf:MAFEstimator",
        "nsf": "certibayes.estimators.nsf:NSFEstimator",
        "ensemble": "certibayes.estimators.ensemble:EnsembleEstimator",
        "sbi_flow": "certibayes.estimators.sbi_flow:SbiFlow",
        "sbi_mixture": "certibayes.estimators.sbi_mixture:SbiMixture",
    },
    "embedding": {
        "mlp": "certibayes.networks.mlp_embedding:MLPEmbedding",
        "cnn1d": "certibayes.networks.cnn1d_embedding:CNN1dEmbedding",
    },
    "estimator_bounds": {
        "gaussian": "certibayes.estimators.gaussian_bounds:log_density_bounds",
        "mixture": "certibayes.estimators.mixture_bounds:log_density_bounds",
        "maf": "certibayes.estimators.maf_bounds:log_density_bounds",
        "nsf": "certibayes.estimators.nsf_bounds:log_density_bounds",
        "ensemble": "certibayes.estimators.ensemble_bounds:log_density_bounds",
        "sbi_flow": "certibayes.estimators.foreign_bounds:log_density_bounds",
        "sbi_mixture": "certibayes.estimators.foreign_bounds:log_density_bounds",
    },
    "forward_kl_bounds": {
        "gaussian": "certibayes.estimators.gaussian_bounds:forward_kl_upper",
        "mixture": "certibayes.estimators.mixture_bounds:forward_kl_upper",
        "ensemble": "certibayes.estimators.ensemble_bounds:forward_kl_upper",
    },
    "head_shift_bounds": {
        "gaussian": "certibayes.estimators.gaussian_shift_bounds:head_shift",
        "mixture": "certibayes.estimators.mixture_shift_bounds:head_shift",
        "ensemble": "certibayes.estimators.ensemble_shift_bounds:head_shift",
    },
    "log_density_graph": {
        "gaussian": "certibayes.estimators.gaussian_graph:log_density_graph",
        "mixture": "certibayes.estimators.mixture_graph:log_density_graph",
        "maf": "certibayes.estimators.maf_graph:log_density_graph",
        "nsf": "certibayes.estimators.nsf_graph:log_density_graph",
        "ensemble": "certibayes.estimators.ensemble_graph:log_density_graph",
        "sbi_flow": "certibayes.estimators.sbi_flow_graph:log_density_graph",
        "sbi_mixture": "certibayes.estimators.sbi_mixture_graph:log_density_graph",
    },
    "shift_bounds": {
        "interval": "certibayes.certificates.per_draw:per_draw_bounds",
        "crown_ibp": "certibayes.certificates.shared_adversary:shared_bounds",
        "crown": "certibayes.certificates.shared_adversary:shared_bounds",
        "closed_form": "certibayes.certificates.closed_form_shift:closed_form_bounds",
    },
    "network": {
        "mlp": "certibayes.networks.mlp:MLP",
        "cnn": "certibayes.networks.cnn:CNN",
    },
    "inference": {
        "map": "certibayes.bnn.map:MAP",
        "bbb": "certibayes.bnn.bbb:BBB",
        "vogn": "certibayes.bnn.vogn:VOGN",
        "noisy_adam": "certibayes.bnn.noisy_adam:NoisyAdam",
        "swag": "certibayes.bnn.swag:SWAG",
        "hmc": "certibayes.bnn.hmc:HMC",
        "ensemble": "certibayes.bnn.ensemble:Ensemble",
        "mc_dropout": "certibayes.bnn.mc_dropout:MCDropout",
    },
    "attack": {
        "noise": "certibayes.attacks.noise:Noise",
        "fgsm": "certibayes.attacks.fgsm:FGSM",
        "pgd": "certibayes.attacks.pgd:PGD",
        "pgd_adam": "certibayes.attacks.pgd_adam:PGDAdam",
        "random_search": "certibayes.attacks.random_search:RandomSearch",
        "spectral": "certibayes.attacks.spectral:Spectral",
        "gloeckler2023_l2pgd": "certibayes.attacks.gloeckler2023_l2pgd:Gloeckler2023L2PGD",
    },
    "objective": {
        "forward_kl": "certibayes.attacks.forward_kl:ForwardKL",
        "reverse_kl": "certibayes.attacks.reverse_kl:ReverseKL",
        "mmd": "certibayes.attacks.mmd:MMD",
        "nll": "certibayes.attacks.nll:NLL",
        "toward_posterior": "certibayes.attacks.toward_posterior:TowardPosterior",
        "toward_theta": "certibayes.attacks.toward_theta:TowardTheta",
        "expected_loss": "certibayes.attacks.expected_loss:ExpectedLoss",
        "margin": "certibayes.attacks.margin:Margin",
        "confidence": "certibayes.attacks.confidence:Confidence",
    },
    "defense": {
        "none": "certibayes.defenses.none:NoDefense",
        "fisher": "certibayes.defenses.fisher:Fisher",
        "empirical": "certibayes.defenses.empirical:Empirical",
        "adversarial": "certibayes.defenses.adversarial:Adversarial",
        "trades": "certibayes.defenses.trades:Trades",
        "noise": "certibayes.defenses.noise:NoiseAugmentation",
        "robust_likelihood": "certibayes.defenses.robust_likelihood:RobustLikelihood",
    },
    "worst_case": {
        "interval": "certibayes.defenses.worst_case_interval:worst_case",
        "crown_ibp": "certibayes.defenses.worst_case_crown_ibp:worst_case",
        "attack": "certibayes.defenses.worst_case_attack:worst_case",
        "mixed": "certibayes.defenses.worst_case_mixed:worst_case",
        "shared_adversary": "certibayes.defenses.worst_case_shared_adversary:worst_case",
    },
    "certificate": {
        "posterior_shift": "certibayes.certificates.posterior_shift:PosteriorShift",
        "decision": "certibayes.certificates.decision:Decision",
        "posterior_decision": "certibayes.certificates.posterior_decision:PosteriorDecision",
        "probabilistic_safety": (
            "certibayes.certificates.probabilistic_safety:ProbabilisticSafety"
        ),
        "log_density": "certibayes.certificates.log_density:LogDensity",
        "coverage": "certibayes.certificates.coverage:Coverage",
    },
}


def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of one kind, e.g. `names("attack")`."""
    return tuple(REGISTRY[kind])


def module_of(kind: str, name: str) -> str:
    """Return the dotted module of a plug-in without importing it.

    Raises:
        KeyError: if the kind or the name is not registered.
    """
    return REGISTRY[kind][name].partition(":")[0]


def load(kind: str, name: str) -> Any:
    """Import a plug-in and return its class or function.

    Raises:
        KeyError: if the kind or the name is not registered.
    """
    module, _, attribute = REGISTRY[kind][name].partition(":")
    return getattr(import_module(module), attribute)
