"""A model of a study as `train` would leave it, with the weights it was initialized with."""

import torch

from certibayes.config.certificates import PosteriorShift
from certibayes.config.jobs import ModelJob
from certibayes.config.models import Model
from certibayes.config.tasks import BUILT_IN
from certibayes.io import read_json, save_weights, write_json
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.building import build_inference, build_network, build_task, weights_of
from certibayes.stages.theta_record import theta_record

BALL = {"norm": "l2", "unit": "raw", "epsilons": [0.05, 0.2]}
SHIFT = PosteriorShift(perturbation=BALL, bounds="closed_form", comparison_draws=50)
POSTERIOR = {"estimator": {"kind": "gaussian", "hidden": [8]}}
CLASSIFIER = {
    "network": {"kind": "mlp", "hidden": [8]},
    "inference": {"kind": "bbb", "stored_samples": 3},
}


def write_model(
    base,
    task="gaussian_linear",
    spec=POSTERIOR,
    features=10,
    certificates=None,
    model="m",
    task_spec=None,
):
    """Write model and units, and its entry into models.json; return its folder, layout and job."""
    job = ModelJob(
        study="demo",
        study_seed=0,
        task=task,
        task_spec=task_spec or BUILT_IN[task](),
        budget=100,
        model=model,
        model_spec=Model.model_validate(spec),
        seed=0,
    )
    layout = Layout(base / "results" / "demo")
    units = {"feature_std": [1.0] * features, "within_std": 1.0, "data_range": [-9.0, 9.0]}
    write_json(layout.reference(job) / "scale.json", units)
    built = build_task(job)
    inference = build_inference(job, build_network(job, layout, built))
    with torch.no_grad():
        samples = inference.sample(inference.stored_samples, generator("stored"))
    manifest = {"job": job.model_dump(mode="json")} | theta_record(built)
    save_weights(layout.weights(job), weights_of(inference, samples), manifest)
    if certificates is not None:
        known = read_json(layout.models)["models"] if layout.models.is_file() else []
        write_json(layout.models, {"models": [*known, model_entry(job, layout, certificates)]})
    return layout.model(job), layout, job


def model_entry(job, layout, certificates):
    """Return what models.json says of a model that is not the best one."""
    return {
        "name": f"demo.{job.task}.{job.model}.{job.defense}",
        **{name: getattr(job, name) for name in ("task", "budget", "model", "defense", "seed")},
        "folder": str(layout.model(job).relative_to(layout.root)),
        "sha256": read_json(layout.weights(job) / "manifest.json")["sha256"],
        "certificates": {name: one.model_dump(mode="json") for name, one in certificates.items()},
        "standing": {"fit": 1.0, "share": 1.0, "criterion": "NLL", "value": 1.0, "best": False},
    }
