"""Weights of a user's own simulator are refused once its file says another prior."""

import pytest
import torch
from own_files import PRIOR, SIMULATORS, write
from torch.distributions import biject_to
from trained_model import SHIFT, write_model

import certibayes
from certibayes import registry
from certibayes.config.simulators.own import OwnSimulator
from certibayes.config.tasks import BUILT_IN
from certibayes.io import FileFormatError, read_json, write_json
from certibayes.serving.load import of_package
from certibayes.serving.package import open_package, write_package
from certibayes.stages.theta_record import theta_record

CODE = PRIOR + SIMULATORS["batched_torch"]


@pytest.fixture
def trained(tmp_path):
    path = write(tmp_path, CODE)
    spec = OwnSimulator(file=str(path))
    certificates = {"shift": SHIFT}
    folder, layout, _ = write_model(
        tmp_path, "mine", features=3, certificates=certificates, task_spec=spec
    )
    return path, folder, layout


def test_another_support_is_refused_in_a_results_folder_and_in_a_package(trained, tmp_path):
    _, folder, layout = trained
    package = tmp_path / "package"
    write_package(package, read_json(layout.models)["models"][0], layout)
    for source in (folder, package):
        assert of_package(open_package(source)).theta_names == ("theta_1", "theta_2")
    write(tmp_path, CODE.replace("[1.0, 2.0]", "[1.0, 2.00001]"))
    for source in (folder, package):
        with pytest.raises(FileFormatError, match=r"my_model.py\): got another one of \['theta_2'"):
            of_package(open_package(source))
    write(tmp_path, CODE.replace("0.1 *", "0.25 *") + "\n# the simulator, not the prior\n")
    assert certibayes.load(folder).theta_dim == 2


def test_other_names_and_a_manifest_from_before_the_record_are_refused(trained, tmp_path):
    _, folder, _ = trained
    write(tmp_path, CODE + "theta_names = ['rate', 'scale']\n")
    with pytest.raises(FileFormatError, match=r"got \['rate', 'scale'\]; allowed: \['theta_1'"):
        certibayes.load(folder)
    manifest = read_json(folder / "model" / "manifest.json")
    del manifest["theta"]
    write_json(folder / "model" / "manifest.json", manifest)
    with pytest.raises(FileFormatError, match=r"theta: got none; .* train the model again"):
        certibayes.load(folder)


@pytest.mark.parametrize("name", ["gaussian_linear", "two_moons", "slcp"])
def test_images_are_those_of_the_bijection_onto_the_support(name):
    task = registry.load("task", name)(BUILT_IN[name]())
    images = torch.tensor(theta_record(task)["theta"]["images"], dtype=torch.float64)
    assert images.shape == (3, task.theta_dim)
    middle = biject_to(task.support)(torch.zeros(task.theta_dim))
    torch.testing.assert_close(images[1], middle.double(), rtol=1e-5, atol=1e-6)
    assert bool((images[0] < images[1]).all())


def test_a_task_without_theta_has_no_record():
    assert theta_record(registry.load("task", "digits")(BUILT_IN["digits"]())) == {}
