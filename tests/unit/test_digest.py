import shutil
from pathlib import Path

import pytest

import certibayes
from certibayes.config import load
from certibayes.config.jobs import (
    attack_job,
    base_models,
    certify_job,
    gather_jobs,
    model_job,
    model_jobs,
    report_job,
    simulate_job,
)
from certibayes.digest import closure, code_digest

SOURCE = Path(certibayes.__file__).parent
ROOT = Path(__file__).parents[2]
STUDY = load(ROOT / "studies" / "ci.yaml")


def jobs():
    """Every job of the study by a name: stage, task, model, defense, attack or certificate."""
    found = {"report": report_job(STUDY)}
    for job in gather_jobs(STUDY):
        found[f"gather {job.task}"] = job
        found[f"simulate {job.task}"] = simulate_job(STUDY, job.task, 0)
    for job in base_models(STUDY):
        found[f"train {job.task} {job.model}"] = job
    for job in model_jobs(STUDY):
        name = f"{job.task} {job.model} {job.defense}"
        found[f"evaluate {name}"] = job
        if job.defense != "none":
            found[f"retrain {name}"] = model_job(job)
        found |= {f"attack {name} {a}": attack_job(job, a) for a in job.attacks}
        found |= {f"certify {name} {c}": certify_job(job, c) for c in job.certificates}
    return found


JOBS = jobs()


@pytest.fixture
def changed(tmp_path):
    """Edit a copy of the package and return the names of the jobs whose digest changes."""
    copies = []

    def edit(module, old, new):
        copy = tmp_path / str(len(copies)) / "certibayes"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        copies.append(copy)
        path = copy / module
        text = path.read_text()
        assert old in text, f"{module} has no {old!r}"
        path.write_text(text.replace(old, new))
        return {name for name, job in JOBS.items() if code_digest(job, copy) != BEFORE[name]}

    return edit


BEFORE = {name: code_digest(job) for name, job in JOBS.items()}
FUTURE = "from __future__ import annotations\n"
EXTRA = f"{FUTURE}\n_EDITED = True\n"


def named(*parts):
    return {name for name in JOBS if all(part in name.split() for part in parts)}


def test_editing_an_attack_changes_that_attack_only(changed):
    pgd = named("attack", "pgd") | named("attack", "pgd_pixels")
    assert changed("attacks/pgd.py", FUTURE, EXTRA) == pgd
    assert changed("attacks/noise.py", FUTURE, EXTRA) == named("attack", "noise")


def test_editing_the_attack_of_a_check_changes_what_it_checks(changed):
    pgd = named("attack", "pgd") | named("attack", "pgd_pixels")
    assert changed("attacks/random_search.py", FUTURE, EXTRA) == pgd


def test_editing_an_objective_changes_the_attacks_that_use_it(changed):
    assert changed("attacks/expected_loss.py", FUTURE, EXTRA) == named("attack", "pgd_pixels")


def test_a_comment_changes_nothing(changed):
    assert changed("attacks/pgd.py", FUTURE, f"# a comment\n{FUTURE}\n\n") == set()
    assert changed("threat.py", FUTURE, f"{FUTURE}# another one\n") == set()


def test_a_docstring_changes_nothing(changed):
    assert changed("attacks/pgd.py", '"""P', '"""Edited: P') == set()
    assert changed("bounds/interval.py", '    """', '    r"""') == set()


def test_editing_bounds_changes_robust_retraining_and_certification(changed):
    robust = named("retrain", "robust") | named("retrain", "robust_pixels")
    expected = named("certify") | robust | named("evaluate", "digits")
    assert changed("bounds/interval.py", FUTURE, EXTRA) == expected


def test_editing_the_bounds_of_an_estimator_changes_that_estimator_only(changed):
    expected = named("certify", "maf") | named("retrain", "maf", "robust")
    assert changed("estimators/maf_bounds.py", FUTURE, EXTRA) == expected


def test_editing_a_task_changes_everything_on_it_and_nothing_else(changed):
    everything = {name for name in JOBS if "lynx_hare" in name.split()}
    assert changed("tasks/lynx_hare.py", FUTURE, EXTRA) == everything


def test_editing_a_defense_changes_retraining_with_it(changed):
    assert changed("defenses/fisher.py", FUTURE, EXTRA) == named("retrain", "fisher")


def test_editing_a_certificate_changes_that_certificate(changed):
    expected = named("certify", "decision") | named("evaluate", "digits")
    assert changed("certificates/decision.py", FUTURE, EXTRA) == expected


def test_editing_the_columns_changes_evaluation_and_report(changed):
    assert changed("columns.py", FUTURE, EXTRA) == named("evaluate") | {"report"}


def test_editing_data_beside_a_module_changes_what_reads_it(changed):
    lynx_hare = {name for name in JOBS if "lynx_hare" in name.split()}
    assert changed("tasks/lynx_hare.csv", "1900", "1800") == lynx_hare
    assert changed("tasks/lynx_hare_reference.json", "alpha", "Alpha") == lynx_hare
    assert changed("report/table.css", "{", " {") == {"report"}


@pytest.mark.parametrize(
    "module", ["tracking.py", "cli.py", "attempt.py", "commands/run.py", "config/study.py"]
)
def test_editing_what_reaches_no_result_changes_nothing(changed, module):
    assert changed(module, FUTURE, EXTRA) == set()


def test_editing_the_report_changes_the_report(changed):
    assert changed("report/summary.py", FUTURE, EXTRA) == {"report"}


def test_an_import_inside_a_function_counts(changed):
    edited = FUTURE + "\ndef _late():\n    from certibayes.attacks import pgd\n    return pgd\n"
    assert changed("attacks/noise.py", FUTURE, edited) == named("attack", "noise")


def test_an_import_for_types_alone_does_not_count(tmp_path):
    copy = tmp_path / "certibayes"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "attacks" / "noise.py"
    lazy = (
        f"{FUTURE}\nTYPE_CHECKING = False\nif TYPE_CHECKING:\n    import certibayes.attacks.pgd\n"
    )
    path.write_text(path.read_text().replace(FUTURE, lazy))
    job = next(job for name, job in JOBS.items() if name.endswith("noise"))
    assert "certibayes.attacks.pgd" not in closure(job, copy)


def test_plain_training_knows_no_bounds():
    plain = [name for name in JOBS if name.startswith("train ")] + sorted(
        named("retrain", "fisher")
    )
    for name in plain:
        modules = closure(JOBS[name])
        assert not [m for m in modules if "bounds" in m], name


def test_a_missing_plug_in_module_is_an_error(tmp_path):
    copy = tmp_path / "certibayes"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "attacks" / "noise.py").unlink()
    job = next(job for name, job in JOBS.items() if name.endswith("noise"))
    with pytest.raises(FileNotFoundError, match=r"certibayes\.attacks\.noise"):
        code_digest(job, copy)
