"""Threat models: units, membership, projection, steepest steps and random points of the ball."""

import math

import pytest
import torch

from certibayes.threat import Ball, Scale, ThreatModel

NORMS = ("l1", "l2", "linf")
RADIUS = torch.tensor([0.5, 0.0, 2.0, 0.1, 1.0], dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, len(RADIUS), generator=generator(seed), dtype=torch.float64)


def test_scale_by_hand() -> None:
    x = torch.tensor([[0.0, 1.0, 2.0], [4.0, 1.0, 7.0]])
    scale = Scale.of(x)
    expected = torch.tensor([math.sqrt(8), 0.0, math.sqrt(12.5)], dtype=torch.float64)
    torch.testing.assert_close(scale.feature_std, expected)
    assert scale.within_std == pytest.approx((1 + 3) / 2)
    assert scale.active.tolist() == [True, False, True]


def test_scale_of_parts_is_that_of_the_whole() -> None:
    x = points(1_000) * 3 + 1e4
    parts = (x[:1], x[1:1], x[1:700], x[700:])
    scale, whole = Scale.of_parts(parts), Scale.of(x)
    torch.testing.assert_close(scale.feature_std, x.std(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(scale.feature_std, whole.feature_std, rtol=1e-12, atol=0)
    assert scale.within_std == pytest.approx(whole.within_std, rel=1e-12)
    with pytest.raises(ValueError, match="got 0 observations"):
        Scale.of_parts(())


def test_features_below_a_millionth_of_the_largest_are_inactive() -> None:
    scale = Scale(torch.tensor([1.0, 1.01e-6, 0.99e-6, 0.0], dtype=torch.float64), 1.0)
    assert scale.active.tolist() == [True, True, False, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scale_of_failed_simulations_is_an_error(bad: float) -> None:
    x = torch.randn(5, 3, generator=generator(0))
    x[2, 1] = bad
    with pytest.raises(ValueError, match="1 of them not finite"):
        Scale.of(x)


def test_scale_of_one_observation_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Scale.of(torch.zeros(1, 3))


def test_one_feature_has_no_within_std() -> None:
    scale = Scale.of(torch.tensor([[0.0], [2.0]]))
    assert ThreatModel("l2", 1.0, "feature_std").ball(scale).radius.item() == pytest.approx(2**0.5)
    with pytest.raises(ValueError, match="within_std"):
        ThreatModel("l2", 1.0, "within_std").ball(scale)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("raw", [0.2, 0.2, 0.0]), ("feature_std", [0.4, 0.6, 0.0]), ("within_std", [1.0, 1.0, 0.0])],
)
def test_units(unit: str, expected: list[float]) -> None:
    scale = Scale(torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64), 5.0)
    ball = ThreatModel("l2", 0.2, unit, (0.0, 1.0)).ball(scale)
    torch.testing.assert_close(ball.radius, torch.tensor(expected, dtype=torch.float64))
    assert (ball.norm, ball.clip) == ("l2", (0.0, 1.0))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("raw", [0.2, 0.2, 0.2]), ("feature_std", [0.4, 0.6, 0.0]), ("within_std", [1.0, 1.0, 1.0])],
)
def test_features_that_never_vary_are_perturbed_on_demand(unit: str, expected: list[float]) -> None:
    scale = Scale(torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64), 5.0, perturb_inactive=True)
    assert scale.active.all()
    ball = ThreatModel("linf", 0.2, unit).ball(scale)
    torch.testing.assert_close(ball.radius, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("epsilon", [-0.1, math.inf, math.nan])
def test_epsilon_must_be_finite_and_not_negative(epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"epsilon: got .*; allowed"):
        ThreatModel("l2", epsilon, "raw")


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("norm", ("l3", 0.1, "raw")),
        ("unit", ("l2", 0.1, "std")),
        ("clip", ("l2", 0.1, "raw", (1.0, 0.0))),
    ],
)
def test_unknown_words_are_errors(key: str, arguments: tuple) -> None:
    with pytest.raises(ValueError, match=f"{key}: got .*; allowed"):
        ThreatModel(*arguments)


@pytest.mark.parametrize("norm", NORMS)
def test_size_by_hand(norm: str) -> None:
    ball = Ball(norm, RADIUS)
    delta = torch.tensor([[0.5, 0.0, 2.0, 0.0, 0.0], [0.0] * 5, [0.0, 1e-9, 0.0, 0.0, 0.0]])
    expected = [{"l1": 2.0, "l2": math.sqrt(2), "linf": 1.0}[norm], 0.0, math.inf]
    assert ball.size(delta.double()).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("norm", NORMS)
def test_contains(norm: str) -> None:
    ball = Ball(norm, RADIUS, (-1.0, 1.0))
    x = torch.zeros(1, 5, dtype=torch.float64)
    candidates = torch.zeros(5, 5, dtype=torch.float64)
    candidates[0, 0] = 0.5
    candidates[1, 0] = 0.51
    candidates[2, 1] = 1e-3
    candidates[3, 2] = 1.5
    candidates[4, 0] = math.nan
    assert ball.contains(x, candidates).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_stays_inside_and_is_idempotent(norm: str, dtype: torch.dtype) -> None:
    ball = Ball(norm, RADIUS * 1e-3, (-3.0, 3.0))
    x = points(2_000).clamp(-3, 3).to(dtype)
    candidate = x + 5 * points(2_000, 1).to(dtype)
    projected = ball.project(x, candidate)
    assert projected.dtype == dtype
    assert ball.contains(x, projected).all()
    assert torch.equal(projected[:, 1], x[:, 1])
    again = ball.project(x, projected)
    torch.testing.assert_close(again, projected)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_leaves_points_of_the_set_alone(norm: str) -> None:
    ball = Ball(norm, RADIUS)
    x = points(500)
    inside = ball.sample(x, generator(2))
    torch.testing.assert_close(ball.project(x, inside), inside)


def test_linf_projection_is_the_nearest_point() -> None:
    ball = Ball("linf", torch.tensor([1.0, 2.0]), (-0.5, 5.0))
    x = torch.zeros(1, 2)
    projected = ball.project(x, torch.tensor([[-3.0, 7.0]]))
    assert projected.tolist() == [[-0.5, 2.0]]


def test_l2_projection_by_hand() -> None:
    ball = Ball("l2", torch.tensor([1.0, 2.0]))
    projected = ball.project(torch.ones(1, 2), torch.tensor([[4.0, 9.0]]))
    torch.testing.assert_close(projected, torch.tensor([[1 + 3 / 5, 1 + 8 / 5]]))


def test_l1_projection_by_hand() -> None:
    """In units of the radius (3, 1) goes to (1, 0); clipped at 0.6 the rest moves the other one."""
    x, candidate = torch.zeros(1, 2), torch.tensor([[3.0, 2.0]])
    radius = torch.tensor([1.0, 2.0])
    assert Ball("l1", radius).project(x, candidate).tolist() == [[1.0, 0.0]]
    clipped = Ball("l1", radius, (-0.6, 0.6)).project(x, candidate)
    torch.testing.assert_close(clipped, torch.tensor([[0.6, 0.6]]))
    wider = Ball("l1", radius, (-0.6, 5.0)).project(x, -candidate)
    torch.testing.assert_close(wider, torch.tensor([[-0.6, -0.6]]))


@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_l1_projection_is_the_nearest_point(clip, dtype) -> None:
    """No point of the set makes an obtuse angle: (p - proj) . (z - proj) <= 0 for every z."""
    active = RADIUS > 0
    ball = Ball("l1", RADIUS, clip)
    x = points(300).clamp(-1, 1).to(dtype)
    candidate = x + 2 * points(300, 1).to(dtype)
    projected = ball.project(x, candidate)
    assert ball.contains(x, projected, 1e-12 if dtype == torch.float64 else 1e-6).all()
    others = torch.stack([ball.sample(x, generator(seed)) for seed in range(200)])
    vertices = [
        ball.project(x, x + sign * RADIUS.to(dtype) * one)
        for sign in (-1, 1)
        for one in torch.eye(5, dtype=dtype)
    ]
    others = torch.cat([others, torch.stack(vertices)])
    weight = torch.where(active, 1 / RADIUS.clamp(min=1e-9), 0.0).to(dtype)
    angle = ((candidate - projected) * weight * weight * (others - projected)).sum(-1)
    assert angle.max() < (1e-9 if dtype == torch.float64 else 1e-3)


def test_l1_samples_are_uniform() -> None:
    """In the ball of 4 active features P(size <= s) = s^4 and E|delta_i / r_i| = 1 / 5."""
    n = 100_000
    ball = Ball("l1", RADIUS)
    delta = ball.sample(torch.zeros(n, 5, dtype=torch.float64), generator(11))
    size = ball.size(delta)
    for s in (0.3, 0.6, 0.9):
        share = float((size <= s).double().mean())
        assert abs(share - s**4) < 5 * math.sqrt(s**4 * (1 - s**4) / n)
    standard = delta[:, RADIUS > 0] / RADIUS[RADIUS > 0]
    assert (standard.mean(0).abs() < 5 * standard.std(0) / math.sqrt(n)).all()
    error = standard.abs().std(0) / math.sqrt(n)
    assert ((standard.abs().mean(0) - 1 / 5).abs() < 5 * error).all()


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_step_beats_every_other_step(norm: str) -> None:
    ball = Ball(norm, RADIUS)
    gradient = points(1, 3)
    step = ball.steepest(gradient)
    assert float(ball.size(step)) == pytest.approx(1)
    others = ball.sample(torch.zeros(20_000, 5, dtype=torch.float64), generator(4))
    assert float((others @ gradient[0]).max()) <= float(step @ gradient[0])
    dual = (RADIUS * gradient[0]).abs()
    largest = {"l1": dual.max(), "l2": dual.norm(), "linf": dual.sum()}[norm]
    assert float(step @ gradient[0]) == pytest.approx(float(largest))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e30])
def test_steepest_step_does_not_depend_on_the_size_of_the_gradient(norm: str, size: float) -> None:
    ball = Ball(norm, RADIUS.float())
    gradient = torch.tensor([[1.0, 5.0, -1.0, 1.0, 2.0]])
    step = ball.steepest(gradient * size)
    torch.testing.assert_close(step, ball.steepest(gradient), rtol=0.01, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_step_of_a_zero_gradient_is_zero(norm: str) -> None:
    ball = Ball(norm, RADIUS)
    assert (ball.steepest(torch.zeros(2, 5, dtype=torch.float64)) == 0).all()
    only_inactive = torch.tensor([[0.0, 3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert (ball.steepest(only_inactive) == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_samples_lie_inside_and_repeat_with_the_seed(norm: str) -> None:
    ball = Ball(norm, RADIUS, (-1.0, 1.0))
    x = points(5_000).clamp(-1, 1)
    drawn = ball.sample(x, generator(5))
    assert ball.contains(x, drawn).all()
    assert torch.equal(drawn[:, 1], x[:, 1])
    assert torch.equal(drawn, ball.sample(x, generator(5)))
    assert not torch.equal(drawn, ball.sample(x, generator(6)))


def test_l2_samples_are_uniform() -> None:
    """In the ball of 4 active features P(size <= s) = s^4 and E[(delta_i / r_i)^2] = 1 / 6."""
    n = 100_000
    ball = Ball("l2", RADIUS)
    delta = ball.sample(torch.zeros(n, 5, dtype=torch.float64), generator(7))
    size = ball.size(delta)
    for s in (0.3, 0.6, 0.9):
        share = float((size <= s).double().mean())
        assert abs(share - s**4) < 5 * math.sqrt(s**4 * (1 - s**4) / n)
    squares = (delta[:, RADIUS > 0] / RADIUS[RADIUS > 0]).square()
    error = squares.std(0) / math.sqrt(n)
    assert ((squares.mean(0) - 1 / 6).abs() < 5 * error).all()


def test_linf_samples_are_uniform() -> None:
    """E[delta_i / r_i] = 0 and its variance is 1 / 3."""
    n = 100_000
    ball = Ball("linf", RADIUS)
    delta = ball.sample(torch.zeros(n, 5, dtype=torch.float64), generator(8))
    standard = delta[:, RADIUS > 0] / RADIUS[RADIUS > 0]
    assert (standard.mean(0).abs() < 5 / math.sqrt(3 * n)).all()
    error = standard.square().std(0) / math.sqrt(n)
    assert ((standard.square().mean(0) - 1 / 3).abs() < 5 * error).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_ball_of_size_zero_is_its_center(norm: str) -> None:
    ball = Ball(norm, torch.zeros(5, dtype=torch.float64))
    x = points(10)
    assert torch.equal(ball.sample(x, generator(9)), x)
    assert torch.equal(ball.project(x, x + 1), x)
    assert torch.equal(ball.steepest(x), torch.zeros_like(x))
    assert all(torch.equal(side, x) for side in ball.box(x))


@pytest.mark.parametrize("norm", NORMS)
def test_box_encloses_the_set(norm: str) -> None:
    ball = Ball(norm, RADIUS, (-1.0, 1.0))
    x = points(1_000).clamp(-1, 1)
    lower, upper = ball.box(x)
    drawn = ball.sample(x, generator(10))
    assert ((lower <= drawn) & (drawn <= upper)).all()
    torch.testing.assert_close(upper, (x + RADIUS).clamp(max=1.0))
    torch.testing.assert_close(lower, (x - RADIUS).clamp(min=-1.0))


def test_scaled_and_to() -> None:
    ball = Ball("l2", RADIUS, (0.0, 1.0)).scaled(0.5)
    torch.testing.assert_close(ball.radius, RADIUS / 2)
    assert ball.clip == (0.0, 1.0)
    assert ball.to(torch.zeros(1)).radius.dtype == torch.float32


@pytest.mark.parametrize("bad", [1.0001, -1e-9, math.nan])
def test_x_outside_the_clip_range_is_an_error(bad: float) -> None:
    ball = Ball("linf", torch.full((3,), 0.1), (0.0, 1.0))
    x = torch.full((4, 3), 0.5)
    ball.require_inside_clip(x)
    x[2, 1] = bad
    with pytest.raises(ValueError, match=r"1 of 4 observations .* row 2"):
        ball.require_inside_clip(x)
    Ball("linf", torch.full((3,), 0.1)).require_inside_clip(x)
