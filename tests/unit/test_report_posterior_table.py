import pandas as pd

from certibayes.report.posterior_table import render_posteriors

MODEL = {"task": "lynx_hare", "budget": 10, "model": "maf", "defense": "none", "seed": 0}


def moments(reference):
    rows = [("clean", 0.0, 0.5), ("pgd", 0.01, 0.6), ("pgd", 0.05, 0.9)]
    return pd.DataFrame(
        {
            **MODEL,
            "observation": observation,
            "method": method,
            "epsilon": epsilon,
            "parameter": name,
            "mean": mean,
            "sd": 0.0625,
            "reference_mean": reference,
            "reference_sd": reference,
        }
        for observation in ("first", "second")
        for method, epsilon, mean in rows
        for name in ("alpha", "beta")
    )


def test_clean_largest_attack_and_reference_stand_side_by_side():
    lines = render_posteriors(moments(0.55)).splitlines()
    about = "posterior mean (sd) (1 more observations: posterior_lynx_hare.csv)"
    assert lines[0] == f"lynx_hare, real observation first: {about}"
    assert len(lines) == 5
    assert lines[2].split() == ["clean", "pgd", "0.05", "reference"]
    assert lines[3].split() == ["alpha", "0.5", "(0.062)", "0.9", "(0.062)", "0.55", "(0.55)"]
    assert lines[4].split()[0] == "beta"


def test_without_a_reference_there_is_no_such_column():
    assert "reference" not in render_posteriors(moments(None))
