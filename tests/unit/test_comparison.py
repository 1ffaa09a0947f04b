"""Only a report on all models of a task knows the best of them."""

from trained_model import POSTERIOR

from certibayes.comparison import compared_tasks
from certibayes.config.jobs import model_jobs
from certibayes.config.parts import part_of
from certibayes.config.study import Study
from certibayes.report.models import render_best

STUDY = Study.model_validate(
    {
        "study": "demo",
        "models": {"m": POSTERIOR},
        "experiments": [
            {"task": "two_moons", "budget": 100, "model": "m", "seeds": [0, 1]},
            {"task": "slcp", "budget": 100, "model": "m"},
        ],
    }
)
KEYS = ("task", "budget", "model", "defense", "seed")


def entries(*conditions):
    jobs = model_jobs(part_of(STUDY, conditions))
    return [{key: getattr(job, key) for key in KEYS} for job in jobs]


def test_a_part_compares_the_tasks_whose_models_it_has_all():
    assert compared_tasks(STUDY, entries()) == ["slcp", "two_moons"]
    assert compared_tasks(STUDY, entries("task=two_moons")) == ["two_moons"]
    assert compared_tasks(STUDY, entries("seed=0")) == ["slcp"]
    assert compared_tasks(part_of(STUDY, ["task=slcp"]), entries()) == ["slcp"]


def test_the_best_of_a_part_is_not_called_that_of_the_task():
    standing = {"criterion": "NLL", "value": 1.0, "share": 1.0, "best": True}
    entry = {"task": "two_moons", "name": "demo.two_moons.m.none", "folder": "f"}
    content = {"models": [entry | {"standing": standing}]}
    whole, part = render_best(content, ["two_moons"]), render_best(content, [])
    assert "best model of two_moons: f" in whole
    assert "models:/demo.two_moons.m.none@best" in whole
    assert "best model of two_moons in this part: f" in part
    assert "the alias best stays where it is" in part
    assert "models:/" not in part
