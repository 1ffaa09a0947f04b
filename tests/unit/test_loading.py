import inspect
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from trained_model import CLASSIFIER, SHIFT, write_model

import certibayes
from certibayes.config.certificates import Decision
from certibayes.io import FileFormatError, WeightsError, read_json, write_json
from certibayes.outside_clip import OutsideClipError
from certibayes.serving.load import load
from certibayes.serving.posterior import LoadedPosterior
from certibayes.serving.pyfunc import _load_pyfunc
from certibayes.stages.building import build_task, load_model

PIXELS = {"norm": "linf", "unit": "raw", "epsilons": [0.0, 0.01]}


@pytest.fixture
def posterior(tmp_path):
    folder, _, _ = write_model(tmp_path, certificates={"shift": SHIFT})
    return certibayes.load(folder)


def test_a_results_folder_and_its_model_folder_give_the_trained_estimator(tmp_path):
    folder, layout, job = write_model(tmp_path)
    model = load_model(job, layout, build_task(job)).double()
    x = torch.linspace(-1, 1, 10, dtype=torch.float64)
    for source in (folder, str(folder / "model")):
        loaded = load(source)
        draws = loaded.sample((7,), x=x, generator=torch.Generator().manual_seed(3))
        expected = model.sample((7,), x=x, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(draws, expected)
        torch.testing.assert_close(loaded.log_prob(draws, x=x), model.log_prob(draws, x=x))
    assert loaded.name == "demo.gaussian_linear.m.none"


def test_shapes_are_those_of_sbi_and_numbers_may_be_numpy_lists_or_float32(posterior):
    x = np.zeros(10, dtype=np.float32)
    assert posterior.sample((5,), x=x, show_progress_bars=False).shape == (5, posterior.theta_dim)
    assert posterior.sample(x=x.tolist()).shape == (posterior.theta_dim,)
    batched = posterior.sample_batched((5, 2), x=torch.zeros(3, 10), show_progress_bars=True)
    assert batched.shape == (5, 2, 3, posterior.theta_dim)
    assert posterior.log_prob(batched[0, :, 0].numpy(), x=x[None]).shape == (2,)
    assert posterior.log_prob_batched(batched, x=np.zeros((3, 10))).shape == (5, 2, 3)
    assert batched.dtype == torch.float64


def test_malformed_observations_are_refused_with_their_shape(posterior):
    with pytest.raises(
        ValueError, match=r"x: got shape \(1, 9\); allowed: \(10,\) or \(batch, 10\)"
    ):
        posterior.sample((2,), x=torch.zeros(9))
    with pytest.raises(ValueError, match="x: got 2 observations; allowed: 1"):
        posterior.log_prob(torch.zeros(10), x=torch.zeros(2, 10))
    with pytest.raises(ValueError, match="x: got NaN or infinite"):
        posterior.certificate([float("nan")] * 10)


def test_a_certificate_of_a_new_x_holds_at_every_x_of_the_ball(posterior):
    x = torch.randn(3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    small, large = posterior.certificate(x)
    assert (small.epsilon, large.epsilon, small.confidence) == (0.05, 0.2, 1.0)
    assert bool((small.upper < large.upper).all())
    clean = posterior.estimator(x)
    theta = clean.draw(2000, torch.Generator().manual_seed(1))
    source = torch.Generator().manual_seed(2)
    for found in (small, large):
        step = torch.randn(3, 10, dtype=torch.float64, generator=source)
        moved = posterior.estimator(x + found.epsilon * step / step.norm(dim=1, keepdim=True))
        ratio = (moved.log_prob(theta) - clean.log_prob(theta)).exp()
        shift = (1 - ratio).clamp(min=0).mean(0)
        assert bool((shift <= found.upper).all())
        assert bool((found.certified == (found.upper <= SHIFT.tau)).all())
    assert "no event's posterior probability moves by more than" in str(small)


def test_bounds_from_draws_are_fresh_unless_a_seed_is_given(tmp_path):
    shift = SHIFT.model_copy(update={"bounds": "interval", "draws": 100, "radius": True})
    folder, _, _ = write_model(tmp_path, certificates={"shift": shift})
    model, x = load(folder), torch.zeros(10)
    first, second = model.certificate(x)[0], model.certificate(x)[0]
    assert first.seed != second.seed
    assert first.fresh
    assert "in sight" not in str(first)
    assert not torch.equal(first.upper, second.upper)
    again = model.certificate(x, seed=first.seed)
    assert torch.equal(first.upper, again[0].upper)
    assert not again[0].fresh
    assert "confidence 0.999 unless x was chosen with the seed in sight" in str(again[0])
    assert bool((again[0].upper <= again[1].upper).all())


def test_without_a_report_there_are_draws_but_no_certificates(tmp_path):
    folder, _, _ = write_model(tmp_path)
    model = load(folder)
    assert model.sample((2,), x=torch.zeros(10)).isfinite().all()
    with pytest.raises(LookupError, match=r"no models\.json .*run to its report"):
        model.certificate(torch.zeros(10))
    folder, _, _ = write_model(tmp_path, certificates={})
    assert load(folder).certificate(torch.zeros(10)) == ()


def test_a_classifier_certifies_the_class_that_it_predicts(tmp_path):
    decision = Decision(perturbation=PIXELS)
    folder, _, _ = write_model(tmp_path, "digits", CLASSIFIER, 64, {"decision": decision})
    model = load(folder)
    x = torch.rand(4, 64, generator=torch.Generator().manual_seed(0))
    probabilities = model.probabilities(x)
    assert probabilities.shape == (4, 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4, dtype=torch.float64))
    nothing, some = model.certificate(x)
    top = probabilities.topk(2).values
    torch.testing.assert_close(nothing.upper, top[:, 1] - top[:, 0])
    assert bool((nothing.upper <= some.upper).all())
    with pytest.raises(OutsideClipError):
        model.certificate(x + 1)


def test_a_certificate_says_which_ball_it_means(tmp_path):
    decision = Decision(perturbation=PIXELS)
    folder, layout, job = write_model(tmp_path, "digits", CLASSIFIER, 64, {"decision": decision})
    scale = layout.reference(job) / "scale.json"
    write_json(scale, read_json(scale) | {"feature_std": [0.0] * 3 + [1.0] * 61})
    some = load(folder).certificate(torch.zeros(1, 64))[-1]
    assert (some.clip, some.inactive_features) == ((0.0, 1.0), 3)
    assert "in [0, 1] and 3 inactive features as they are: " in str(some)
    (answer,) = _load_pyfunc(str(folder)).predict([[0.0] * 64])
    assert answer["certificates"][-1]["clip"] == [0.0, 1.0]
    assert answer["certificates"][-1]["inactive_features"] == 3


def test_changed_weights_and_folders_without_a_model_are_refused(tmp_path):
    folder, _, _ = write_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json; allowed: results/<study>"):
        load(folder.parent)
    shutil.copytree(folder, tmp_path / "elsewhere" / "a" / "b" / "c" / "d" / "e" / "f")
    with pytest.raises(FileFormatError, match="where its study left it"):
        load(tmp_path / "elsewhere" / "a" / "b" / "c" / "d" / "e" / "f")
    path = folder / "model" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="sha256 is"):
        load(folder)
    write_json(folder / "model" / "manifest.json", {"job": {}})
    with pytest.raises(FileFormatError, match="not the manifest of a trained model"):
        load(folder)


def test_served_answers_are_plain_numbers_and_repeat_with_their_seed(tmp_path):
    folder, _, _ = write_model(tmp_path, certificates={"shift": SHIFT})
    served = _load_pyfunc(str(folder))
    first, second = served.predict(np.zeros((2, 10)), params={"draws": 4})
    assert np.shape(first["draws"]) == (4, len(first["parameters"]))
    assert [one["epsilon"] for one in second["certificates"]] == [0.05, 0.2]
    assert all(one.pop("fresh") for one in [*first["certificates"], *second["certificates"]])
    again = served.predict([[0.0] * 10] * 2, params={"draws": 4, "seed": first["seed"]})
    assert not any(one.pop("fresh") for answer in again for one in answer["certificates"])
    assert again == [first, second]
    (plain,) = served.predict([[0.0] * 10], params={"certificate": False})
    assert plain["certificates"] == []
    with pytest.raises(ValueError, match=r"params\.draws: got 0"):
        served.predict([[0.0] * 10], params={"draws": 0})
    with pytest.raises(ValueError, match=r"params: got \['n'\]; allowed: certificate, draws, seed"):
        served.predict([[0.0] * 10], params={"n": 1})


def test_methods_take_the_keywords_that_sbi_passes():
    for method in (LoadedPosterior.sample, LoadedPosterior.sample_batched):
        assert {"x", "show_progress_bars"} <= set(inspect.signature(method).parameters)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, certibayes; certibayes.load; print(sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    for heavy in ("torch", "mlflow", "numpy", "pydantic", "nflows"):
        assert f"'{heavy}'" not in answer.stdout
