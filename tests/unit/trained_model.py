"""A model of a study as `train` would leave it, with the weights it was initialized with."""

import torch

from certibayes.config.certificates import PosteriorShift
from certibayes.config.jobs import ModelJob
from certibayes.config.models import Model
from certibayes.config.tasks import BUILT_IN
from certibayes.io import save_weights, write_json
from certibayes.layout import Layout
from certibayes.seeding import generator
from certibayes.stages.building import build_inference, build_network, build_task, weights_of

BALL = {"norm": "l2", "unit": "raw", "epsilons": [0.05, 0.2]}
SHIFT = PosteriorShift(perturbation=BALL, bounds="closed_form", comparison_draws=50)
POSTERIOR = {"estimator": {"kind": "gaussian", "hidden": [8]}}
CLASSIFIER = {
    "network": {"kind": "mlp", "hidden": [8]},
    "inference": {"kind": "bbb", "stored_samples": 3},
}


def write_model(base, task="gaussian_linear", spec=POSTERIOR, features=10, certificates=None):
    """Write model, units and models.json; return the model's folder and its layout and job."""
    job = ModelJob(
        study="demo",
        study_seed=0,
        task=task,
        task_spec=BUILT_IN[task](),
        budget=100,
        model="m",
        model_spec=Model.model_validate(spec),
        seed=0,
    )
    layout = Layout(base / "results" / "demo")
    units = {"feature_std": [1.0] * features, "within_std": 1.0, "data_range": [-9.0, 9.0]}
    write_json(layout.reference(job) / "scale.json", units)
    inference = build_inference(job, build_network(job, layout, build_task(job)))
    with torch.no_grad():
        samples = inference.sample(inference.stored_samples, generator("stored"))
    manifest = {"job": job.model_dump(mode="json")}
    save_weights(layout.weights(job), weights_of(inference, samples), manifest)
    if certificates is not None:
        stated = {name: one.model_dump(mode="json") for name, one in certificates.items()}
        folder = str(layout.model(job).relative_to(layout.root))
        entry = {"name": f"demo.{task}.m.none", "folder": folder, "certificates": stated}
        write_json(layout.models, {"models": [entry]})
    return layout.model(job), layout, job
