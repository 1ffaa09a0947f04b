"""Threat models: the only place where the size of a perturbation is defined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from certibayes import l1_ball
from certibayes.outside_clip import OutsideClipError

Norm = Literal["l1", "l2", "linf"]
Unit = Literal["raw", "feature_std", "within_std"]
INACTIVE_BELOW = 1e-6


@dataclass(frozen=True)
class Scale:
    """Units of a task, from one reference draw with its own seed (data sets: the training split).

    Attributes:
        feature_std: std of every feature over observations, shape (d,), raw units.
        within_std: mean over observations of the std over the entries of one observation
            (the unit of Gloeckler et al., 2023), raw units.
        perturb_inactive: whether features that hardly vary may be perturbed too; in feature_std
            they cannot.
    """

    feature_std: Tensor
    within_std: float
    perturb_inactive: bool = False

    @classmethod
    def of(cls, x: Tensor) -> Scale:
        """Measure the units on observations x, shape (n, d).

        Raises:
            ValueError: if there are fewer than two observations or an entry is not finite.
        """
        return cls.of_parts((x,))

    @classmethod
    def of_parts(cls, parts: Iterable[Tensor], perturb_inactive: bool = False) -> Scale:
        """Measure the units on observations that come in parts, each of shape (n, d).

        Sums of squared deviations are merged as in Chan, Golub and LeVeque (1983).

        Args:
            parts: at least two rows in all.
            perturb_inactive: as the attribute.

        Raises:
            ValueError: if there are fewer than two observations or an entry is not finite.
        """
        rows, broken, within = 0, 0, 0.0
        mean = squares = torch.zeros((), dtype=torch.float64)
        for x in (part.double() for part in parts if len(part)):
            broken += int((~x.isfinite()).any(1).sum())
            center = x.mean(0)
            shift, total = center - mean, rows + len(x)
            squares = squares + (x - center).square().sum(0) + shift**2 * (rows * len(x) / total)
            mean = mean + shift * (len(x) / total)
            within += float(x.std(1, correction=min(1, x.shape[1] - 1)).sum())
            rows = total
        if rows < 2 or broken:
            raise ValueError(
                f"x: got {rows} observations, {broken} of them not finite; "
                "allowed: at least 2, all finite"
            )
        return cls((squares / (rows - 1)).sqrt(), within / rows, perturb_inactive)

    @property
    def active(self) -> Tensor:
        """Features that may be perturbed, bool, shape (d,).

        All with `perturb_inactive`, else those whose std is at least 1e-6 of the largest.
        """
        if self.perturb_inactive:
            return torch.ones_like(self.feature_std, dtype=torch.bool)
        return self.feature_std >= INACTIVE_BELOW * self.feature_std.max()


@dataclass(frozen=True)
class ThreatModel:
    """What an adversary may do: {x': ||x' - x|| <= epsilon, lo <= x' <= hi}.

    Attributes:
        norm: "l1", "l2" or "linf".
        epsilon: radius, in `unit`.
        unit: "raw", "feature_std" (per feature) or "within_std" (one scalar per task).
        clip: admissible range of every feature in raw units, or None.
    """

    norm: Norm
    epsilon: float
    unit: Unit
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < float("inf"):
            raise ValueError(f"epsilon: got {self.epsilon}; allowed: a finite number >= 0")
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm: got {self.norm!r}; allowed: {get_args(Norm)}")
        if self.unit not in get_args(Unit):
            raise ValueError(f"unit: got {self.unit!r}; allowed: {get_args(Unit)}")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip: got {self.clip}; allowed: (low, high) with low < high")

    def ball(self, scale: Scale) -> Ball:
        """Resolve the unit against a task's scale; features that are not active get radius 0.

        Raises:
            ValueError: if the unit is "within_std" and the task has none (a single feature).
        """
        if self.unit == "feature_std":
            radius = self.epsilon * scale.feature_std
        elif self.unit == "within_std":
            if not scale.within_std > 0:
                raise ValueError(
                    f"unit: got 'within_std', which is {scale.within_std} for this task; "
                    "allowed: 'raw', 'feature_std'"
                )
            radius = torch.full_like(scale.feature_std, self.epsilon * scale.within_std)
        else:
            radius = torch.full_like(scale.feature_std, self.epsilon)
        radius = torch.where(scale.active, radius, torch.zeros_like(radius))
        return Ball(self.norm, radius, self.clip)


@dataclass(frozen=True)
class Ball:
    """The set {x': ||(x' - x) / radius|| <= 1, lo <= x' <= hi} around any x; raw units.

    Attributes:
        norm: "l1", "l2" or "linf".
        radius: per-feature radius, shape (d,), in the units of x; 0 = not perturbed.
        clip: admissible range (lo, hi), or None.
    """

    norm: Norm
    radius: Tensor
    clip: tuple[float, float] | None = None

    def to(self, x: Tensor) -> Ball:
        """Return the ball with the dtype and device of x."""
        return Ball(self.norm, self.radius.to(x), self.clip)

    def scaled(self, factor: float) -> Ball:
        """Return the ball with its radius multiplied by a factor >= 0 (used by ramps)."""
        return Ball(self.norm, self.radius * factor, self.clip)

    def require_inside_clip(self, x: Tensor) -> None:
        """Raise ValueError if an x lies outside the clip range: its ball would be empty there."""
        if self.clip is None:
            return
        low, high = self.clip
        outside = ~((x >= low) & (x <= high)).flatten(1).all(1)
        if outside.any():
            raise OutsideClipError(
                f"x: {int(outside.sum())} of {len(x)} observations lie outside the clip range "
                f"[{low}, {high}], e.g. row {int(outside.nonzero()[0])}; allowed: x inside it"
            )

    def box(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest box (lower, upper) around the set, each of shape (batch, d)."""
        radius = self.radius.to(x)
        return self._clamp(x - radius), self._clamp(x + radius)

    def project(self, x: Tensor, candidate: Tensor) -> Tensor:
        """Return a point of the set near `candidate`; both of shape (batch, d).

        linf: the nearest point. l2: shrink towards x, then clamp; clamping moves every coordinate
        towards x, because x lies inside the clip range, so the norm does not grow. l1: the nearest
        point in units of the radius, clip range included, see `l1_ball.nearest`.
        """
        radius = self.radius.to(x)
        delta = candidate - x
        if self.norm == "linf":
            delta = torch.maximum(torch.minimum(delta, radius), -radius)
        elif self.norm == "l1":
            delta = radius * l1_ball.nearest(self._relative(delta), self._room(x, delta))
        else:
            delta = torch.where(radius > 0, delta, torch.zeros_like(delta))
            size = self.size(delta)
            delta = delta / size.clamp(min=1.0).unsqueeze(-1)
        return self._clamp(x + delta)

    def size(self, delta: Tensor) -> Tensor:
        """Return ||delta / radius||, shape (batch,); infinite if a feature of radius 0 moves."""
        radius = self.radius.to(delta)
        safe = torch.where(radius > 0, radius, torch.ones_like(radius))
        moved = torch.where(radius > 0, delta / safe, torch.where(delta == 0, 0.0, torch.inf))
        if self.norm == "linf":
            return moved.abs().amax(-1)
        return torch.linalg.vector_norm(moved, ord=1 if self.norm == "l1" else 2, dim=-1)

    def contains(self, x: Tensor, candidate: Tensor, tolerance: float = 1e-6) -> Tensor:
        """Tell which candidates lie in the set around x up to a relative tolerance; (batch,).

        One rounding error of x + delta per feature is forgiven: in float32 it may exceed the
        tolerance when the radius is much smaller than x.
        """
        delta = candidate - x
        rounding = torch.finfo(x.dtype).eps * torch.maximum(x.abs(), candidate.abs())
        rounding = torch.where(self.radius.to(x) > 0, rounding, 0.0)
        delta = delta.sign() * (delta.abs() - rounding).clamp(min=0)
        inside = self.size(delta) <= 1 + tolerance
        if self.clip is not None:
            low, high = self.clip
            slack = tolerance * (high - low)
            inside &= ((candidate >= low - slack) & (candidate <= high + slack)).all(-1)
        return inside

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the step in the unit ball that ascends fastest along `gradient`, (batch, d).

        linf: radius * sign(g). l2: radius * (radius * g) / ||radius * g||_2. l1: the one feature
        where |radius * g| is largest.
        """
        radius = self.radius.to(gradient)
        if self.norm == "linf":
            return radius * gradient.sign()
        scaled = radius * gradient
        if self.norm == "l1":
            return radius * l1_ball.vertex(scaled)
        largest = scaled.abs().amax(-1, keepdim=True)
        scaled = scaled / torch.where(largest > 0, largest, 1.0)
        length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
        return radius * scaled / length.clamp(min=1.0)

    def sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one point per x uniformly in the ball, then clamp to the range; shape (batch, d).

        l2: Gaussian direction and radius U^(1/d) over the d features that may be perturbed. l1: see
        `l1_ball.uniform`. Random numbers are drawn on the CPU.
        """
        radius = self.radius.to(x)
        if self.norm == "linf":
            uniform = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)
            return self._clamp(x + radius * (2 * uniform - 1))
        if self.norm == "l1":
            return self._clamp(x + radius * l1_ball.uniform(x, radius > 0, generator))
        normal = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        normal = normal * (radius > 0)
        length = torch.rand(len(x), 1, generator=generator, dtype=x.dtype).to(x.device)
        length = length ** (1 / max(int((radius > 0).sum()), 1))
        size = torch.linalg.vector_norm(normal, dim=-1, keepdim=True)
        return self._clamp(x + radius * length * normal / size.clamp(min=1e-30))

    def _relative(self, delta: Tensor) -> Tensor:
        """Return delta / radius, 0 along features of radius 0."""
        radius = self.radius.to(delta)
        return torch.where(radius > 0, delta / torch.where(radius > 0, radius, 1.0), 0.0)

    def _room(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return how far x may move towards delta in the clip range, units of the radius."""
        if self.clip is None:
            return torch.full_like(delta, torch.inf)
        low, high = self.clip
        return self._relative(torch.where(delta > 0, high - x, x - low))

    def _clamp(self, x: Tensor) -> Tensor:
        return x if self.clip is None else x.clamp(*self.clip)
