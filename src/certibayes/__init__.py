"""certibayes: adversarially robust, certified Bayesian inference."""

__version__ = "0.1.0"
