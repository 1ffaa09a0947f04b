"""What a real browser shows of a standard and a robust model side by side in MLflow."""

import html
import json
import re
import shutil
import subprocess
from urllib.parse import quote

import pytest
from evaluated_by_hand import evaluate_by_hand
from served import free_port, running
from tracked import runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 240

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: nothing to look with"),
]


def browse(address, *options):
    """Return what a browser without a window says of a page after its scripts have run."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-dev-shm-usage", "--window-size=1600,1600"]
    command += ["--virtual-time-budget=60000", *options, address]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    return answer.stdout


def shown_text(document):
    """Return the words of a page, without its tags, scripts and styles."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", document, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


def test_the_compare_page_shows_robust_and_standard_side_by_side(base):
    for defense in ("none", "robust"):
        evaluate_by_hand(base, defense)
    children, _ = runs(base)
    names = [run.info.run_name for run in children]
    assert [name.split("/")[4] for name in names] == ["none", "robust"]
    asked = quote(json.dumps([run.info.run_id for run in children]), safe="")
    experiment = quote(json.dumps([children[0].info.experiment_id]), safe="")
    port = free_port()
    server = f"mlflow server --workers 1 --host 127.0.0.1 --port {port} "
    server += f"--backend-store-uri sqlite:///{base / 'mlflow.db'}"
    with running(f"exec {server}", port, base, "health"):
        page = f"http://127.0.0.1:{port}/#/compare-runs?runs={asked}&experiments={experiment}"
        shot = base / "compare.png"
        shown = shown_text(browse(page, f"--screenshot={shot}", "--dump-dom"))
    assert shot.stat().st_size > 5e4
    for name in names:
        assert name in shown
    for metric in ("attack/kl_median", "attack/tv_median", "certify/tv_median"):
        assert metric in shown
    for run in children:
        assert f"{run.data.metrics['certify/tv_median']:g}" in shown
    assert "defense_spec.kind" in shown
    assert "robust_likelihood" in shown
