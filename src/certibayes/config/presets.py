"""Published settings by name: a preset fills in what the study file leaves out.

Numbers of `gloeckler2023` are those of Gloeckler et al. (2023), "Adversarial robustness of
amortized Bayesian inference". A preset with the name of a task after it states besides the strength
that their main comparison used on that task. `strong_classifier` is certibayes' own: the
least effort of an attack on a classifier that stands beside a certificate.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from certibayes.config.base import Spec

Values = dict[str, Any]

_BALL = {"norm": "l2", "unit": "within_std"}
_FISHER = {
    "unit": "raw",
    "trace": "score",
    "draws": 5,
    "draw_gradient": "reparametrized",
    "warm_start": False,
}
_FISHER_BETAS = {
    "gaussian_linear": 0.001,
    "lotka_volterra": 0.01,
    "vae": 0.01,
    "sir": 0.1,
    "spatial_sir": 0.1,
    "hodgkin_huxley": 100.0,
}
_SEARCH = {"perturbation": _BALL, "steps": 20, "step_size": 0.1, "warm_start": False}
_ADVERSARIAL = _SEARCH | {"clean_weight": 0.0}
_ADVERSARIAL_RADII = dict.fromkeys(_FISHER_BETAS, 1.0) | {"gaussian_linear": 0.1}
_TRADES = _SEARCH | {
    "beta": 0.1,
    "draws": 1,
    "direction": "forward",
    "search_direction": "reverse",
}
_TRADES_RADII = dict.fromkeys(_FISHER_BETAS, 0.5) | {"gaussian_linear": 0.1, "vae": 0.1}
_LINF = {"norm": "linf", "unit": "raw"}
_ROBUST = {
    "perturbation": _LINF,
    "clean_weight": 0.25,
    "mixing": "inside",
    "ramp_fraction": 1.0,
    "warm_start": False,
}
_ROBUST_PGD = _ROBUST | {"bounds": "attack", "steps": 5, "step_size": 0.2}
_ROBUST_SPREAD = _ROBUST | {"clean_weight": 0.0, "epsilon_draws": 2}
_SHI = {
    "perturbation": _LINF,
    "clean_weight": 0.0,
    "initialization": "interval",
    "warmup_weight": 0.5,
    "warm_start": False,
}
_NOISE = {"perturbation": _BALL | {"epsilon": 1.0}, "warm_start": False}


def _by_task(common: Values, name: str, strengths: dict[str, float]) -> dict[str, Values]:
    """Return the preset without a strength, and one per task with it."""
    return {"gloeckler2023": common} | {
        f"gloeckler2023_{task}": common | {name: value} for task, value in strengths.items()
    }


def _by_radius(common: Values, radii: dict[str, float]) -> dict[str, Values]:
    return {"gloeckler2023": common} | {
        f"gloeckler2023_{task}": common | {"perturbation": _BALL | {"epsilon": radius}}
        for task, radius in radii.items()
    }


def _filters(*counts: int, kernel: int, padding: int = 0) -> tuple[Values, ...]:
    """Return convolutions of stride 1."""
    return tuple({"filters": count, "kernel": kernel, "padding": padding} for count in counts)


_POOL: Values = {"pool": 2}
_SEVEN = (
    *_filters(64, 64, kernel=3, padding=1),
    {"filters": 128, "kernel": 3, "padding": 1, "stride": 2},
    *_filters(128, 128, kernel=3, padding=1),
)

PRESETS: dict[str, dict[str, Values]] = {
    "attacks.pgd": {
        "strong_classifier": {"objective": "margin", "steps": 50, "restarts": 5, "points": 5}
    },
    "defenses.fisher": _by_task(_FISHER, "beta", _FISHER_BETAS)
    | {"gloeckler2023_pyloric": _FISHER | {"beta": 100.0, "draws": 1}},
    "defenses.adversarial": _by_radius(_ADVERSARIAL, _ADVERSARIAL_RADII),
    "defenses.trades": _by_radius(_TRADES, _TRADES_RADII),
    "defenses.noise": {"gloeckler2023": _NOISE},
    "defenses.robust_likelihood": {
        "wicker2021": _ROBUST,
        "wicker2021_pgd": _ROBUST_PGD,
        "wicker2021_exponential": _ROBUST_SPREAD | {"epsilon_density": "exponential"},
        "wicker2021_rayleigh": _ROBUST_SPREAD | {"epsilon_density": "rayleigh"},
        "shi2021": _SHI,
        "depalma2024_mnist": _SHI
        | {
            "perturbation": _LINF | {"epsilon": 0.2},
            "bounds": "mixed",
            "bound_weight": 0.01,
            "ramp_start": 0.0143,
            "ramp_fraction": 0.2857,
        },
    },
    "estimator.gaussian": {
        "gloeckler2023_diagonal": {"covariance": "diagonal", "hidden": (100, 100)},
        "gloeckler2023_full": {"covariance": "full", "hidden": (200, 200)},
    },
    "estimator.mixture": {
        "gloeckler2023": {"components": 10, "covariance": "diagonal", "hidden": (200, 200)}
    },
    "estimator.maf": {
        "gloeckler2023": {"transforms": 3, "hidden": 100, "blocks": 1},
        "gloeckler2023_pyloric": {"transforms": 3, "hidden": 200, "blocks": 2},
    },
    "estimator.nsf": {
        "gloeckler2023": {"transforms": 3, "hidden": 100, "blocks": 1, "bins": 12, "bound": 30.0}
    },
    "embedding.mlp": {
        "gloeckler2023": {"hidden": (400, 200, 100), "features": 50, "activation": "relu"}
    },
    "embedding.cnn1d": {
        "gloeckler2023_pyloric": {
            "channels": 3,
            "filters": (6, 9, 12),
            "pool": 3,
            "share_filters": False,
            "channel_features": 100,
            "hidden": (200, 100),
            "features": 100,
            "activation": "relu",
        }
    },
    "network.mlp": {
        "wicker2021_mlp": {"hidden": (512,)},
        "mlp_128": {"hidden": (128,)},
        "mlp_256": {"hidden": (256,)},
        "mlp_1024": {"hidden": (1024,)},
        "mlp_512x2": {"hidden": (512, 512)},
        "mlp_512x3": {"hidden": (512, 512, 512)},
    },
    "network.cnn": {
        "wicker2021_small": {
            "channels": 3,
            "layers": (*_filters(16, 32, kernel=4), _POOL),
            "hidden": (100,),
        },
        "wicker2021_mini": {
            "channels": 3,
            "layers": (*_filters(32, 32, kernel=4), _POOL),
            "hidden": (512,),
        },
        "wicker2021_medium": {
            "channels": 3,
            "layers": (
                *_filters(32, kernel=3),
                *_filters(32, kernel=4),
                _POOL,
                *_filters(64, kernel=3),
                *_filters(64, kernel=4),
                _POOL,
            ),
            "hidden": (512,),
        },
        "wicker2021_large": {
            "channels": 3,
            "layers": (
                *_filters(32, 32, kernel=3),
                _POOL,
                *_filters(128, 128, 128, kernel=3),
                _POOL,
            ),
            "hidden": (512,),
        },
        "gowal2018_small": {
            "layers": (
                {"filters": 16, "kernel": 4, "stride": 2},
                {"filters": 32, "kernel": 4},
            ),
            "hidden": (100,),
        },
        "gowal2018_medium": {
            "layers": (
                {"filters": 32, "kernel": 3},
                {"filters": 32, "kernel": 4, "stride": 2},
                {"filters": 64, "kernel": 3},
                {"filters": 64, "kernel": 4, "stride": 2},
            ),
            "hidden": (512, 512),
        },
        "gowal2018_large": {"layers": _SEVEN, "hidden": (512,)},
        "cnn7": {"layers": _SEVEN, "hidden": (512,), "batch_norm": True},
    },
    "standardization": {"gloeckler2023": {"by": "moments", "floor": 0.05}},
    "training": {
        "gloeckler2023": {
            "epochs": 300,
            "batch_size": 512,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "gradient_clip": 75.0,
            "patience": 10,
        }
    },
}
"""Section, with the kind where there are kinds -> name of the preset -> values."""


def _advertise(schema: dict[str, Any], model: Any) -> None:
    """Tell editors the presets' names, and that what a preset states need not be given."""
    presets = PRESETS[model.SECTION]
    schema["properties"]["preset"]["enum"] = [*presets, None]
    required = schema.pop("required", [])
    if required:
        schema["anyOf"] = [{"required": required}, {"required": ["preset"]}]


class PresetSpec(Spec):
    """A specification that published settings can fill in.

    Attributes:
        SECTION: its key of `PRESETS`.
        preset: name of published settings. Values that are given go before them; the resolved ones
            alone decide a job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_advertise)
    SECTION: ClassVar[str]
    preset: str | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("preset") is None:
            return values
        presets = PRESETS[cls.SECTION]
        name = values["preset"]
        if not isinstance(name, str) or name not in presets:
            raise ValueError(f"preset: got {name!r}; allowed: {', '.join(presets)}")
        return _merged(presets[name], values)


def _merged(preset: Values, given: Values) -> Values:
    """Return the given values, with the preset's where none is given, inside mappings too."""
    both = {
        key: _merged(preset[key], value)
        for key, value in given.items()
        if isinstance(value, dict) and isinstance(preset.get(key), dict)
    }
    return {**preset, **given, **both}
