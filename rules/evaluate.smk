rule evaluate:
    input:
        reference=ancient(multiext(f"{PLAN.reference}/", "test.npz", "scale.json")),
        weights=multiext(f"{PLAN.model}/model/", "weights.safetensors", "manifest.json"),
        findings=PLAN.findings,
        simulator=ancient(PLAN.simulate_inputs),
    output:
        multiext(
            f"{PLAN.model}/evaluate/",
            "metrics.csv",
            "items.npz",
            "coverage.csv",
            "parameters.csv",
            "posterior.npz",
            "run.json",
        ),
    log:
        f"{PLAN.model_logs}/evaluate.log",
    benchmark:
        f"{PLAN.model_logs}/evaluate.benchmark.tsv"
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        job=PLAN.slice("evaluate"),
        code=PLAN.code("evaluate"),
    shell:
        "exec certibayes evaluate --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
