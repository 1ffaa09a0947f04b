import re

import pandas as pd
import pytest
from PIL import Image
from report_example import write_posterior

from certibayes.config.jobs import report_job
from certibayes.config.study import Study
from certibayes.io import write_json
from certibayes.layout import Layout
from certibayes.report import invariants, summary
from certibayes.report.models import write_models
from certibayes.report.page import Contents, write_page
from certibayes.report.page_figures import Embedder, PageFigure, figures_of
from certibayes.report.page_runs import Origin

TASK = "gaussian_linear"
RUN_ID = "0123456789abcdef0123456789abcdef"
LARGEST = 15e6
ORIGIN = Origin(
    study_file="results/demo/study.json",
    run_id=RUN_ID,
    commit="c0ffee00" * 5,
    dirty=True,
    version="0.1",
    made="2026-01-01 00:00 UTC",
    runs=lambda run_id: f"http://host/#/runs/{run_id}",
)


def study():
    ball = {"norm": "linf", "unit": "feature_std"}
    return Study.model_validate(
        {
            "study": "demo",
            "models": {"maf": {"estimator": {"kind": "maf"}}},
            "defenses": {
                "robust": {"kind": "robust_likelihood", "perturbation": {**ball, "epsilon": 0.05}}
            },
            "experiments": [
                {"task": TASK, "budget": 1000, "model": "maf", "defenses": ["none", "robust"]}
            ],
        }
    )


@pytest.fixture
def written(tmp_path):
    job, layout = report_job(study()), Layout(tmp_path / "results" / "demo")
    folders = []
    for model in job.models:
        folders.append(write_posterior(layout.root, task=TASK, defense=model.defense))
        write_json(layout.weights(model) / "manifest.json", {"sha256": "0" * 64})
        about = {"run_id": RUN_ID, "key": "k" * 64, "stage": "evaluate", "attempt": 1}
        about |= {"outputs": {"metrics.csv": "0"}, "seconds": 2.0, "device": "cpu"}
        about |= {"git_commit": "c0ffee00" * 5, "git_dirty": "false"}
        write_json(layout.evaluate(model) / "run.json", about)
    collected = summary.collect(folders)
    write_models(job.models, collected, job.selection, layout)
    layout.report.mkdir()
    figure = layout.report / f"curves_{TASK}.png"
    Image.effect_noise((900, 400), 50).convert("RGBA").save(figure)
    checks = collected.iloc[:0].assign(beats=False)
    simulations = pd.DataFrame({"failed": []})
    contents = Contents(collected, invariants.check(folders), checks, simulations, [figure])
    write_page(job, layout, contents, ORIGIN)
    return layout.page.read_text()


def test_the_page_needs_nothing_else_and_is_light(written):
    assert len(written) < LARGEST
    assert not re.search(r"<(script|link|iframe)\b", written)
    assert set(re.findall(r'src="([^,"]{1,40})', written)) == {"data:image/png;base64"}
    assert "width=device-width" in written


def test_the_page_has_a_section_per_task_whose_figures_have_captions(written):
    places = re.findall(r'href="#([^"]+)"', written)
    assert {"in-short", "reading", f"task-{TASK}", "invariants", "origin"} <= set(places)
    for place in places:
        assert f'id="{place}"' in written
    assert written.count("<figure>") == written.count("<figcaption>") == 1
    assert 'alt="Level against epsilon, gaussian_linear"' in written


def test_the_page_says_how_each_number_was_made(written):
    assert f"http://host/#/runs/{RUN_ID}" in written
    assert "c0ffee00</code> + changes" in written
    target = f"results/demo/{TASK}/n1000/maf/robust/seed0/evaluate/metrics.csv"
    assert f"certibayes trace {target}" in written
    assert f"snakemake --cores 1 --configfile results/demo/study.json {target}" in written


def test_the_page_states_five_invariants_and_what_is_broken(written):
    section = written[written.index('id="invariants"') : written.index('id="origin"')]
    assert section.count("<tr><td") == 5
    assert 'class="bad"' not in section
    assert "nothing to compare" in section
    kept = re.findall(r"comparisons hold", written)
    assert len(kept) == 1


def test_a_figure_belongs_to_the_longest_task_that_fits(tmp_path):
    names = ("curves_a.png", "curves_a_b.png", "predictive_distance_a_n10_maf.png", "x.csv")
    found = figures_of([tmp_path / name for name in names], ["a", "a_b"])
    assert [(one.kind, one.task) for one in found] == [
        ("curves", "a"),
        ("curves", "a_b"),
        ("predictive_distance", "a"),
    ]
    assert found[2].note == "n10 maf"


def test_figures_beyond_the_limit_are_named_instead(tmp_path):
    path = tmp_path / "curves_a.png"
    Image.effect_noise((100, 100), 50).save(path)
    figure = PageFigure(path, "curves", "a")
    small = Embedder(tmp_path, largest=100).html(figure)
    assert "data:" not in small
    assert "see curves_a.png" in small
    assert "data:image/png" in Embedder(tmp_path).html(figure)
