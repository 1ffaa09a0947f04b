rule retrain:
    input:
        shards=PLAN.model_shards,
        reference=ancient(multiext(f"{PLAN.reference}/", "test.npz", "scale.json")),
        base=PLAN.base_weights,
    output:
        multiext(
            f"{PLAN.model}/model/", "weights.safetensors", "manifest.json", "run.json"
        ),
    log:
        f"{PLAN.model_logs}/retrain.log",
    benchmark:
        f"{PLAN.model_logs}/retrain.benchmark.tsv"
    wildcard_constraints:
        defense="(?!none/)[a-z][a-z0-9_]*",
    priority: 30
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=480,
    params:
        job=PLAN.slice("retrain"),
        code=PLAN.code("retrain"),
    shell:
        "exec certibayes retrain --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
