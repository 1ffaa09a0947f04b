rule train:
    input:
        shards=PLAN.model_shards,
        reference=ancient(multiext(f"{PLAN.reference}/", "test.npz", "scale.json")),
    output:
        multiext(
            f"{PLAN.model}/model/", "weights.safetensors", "manifest.json", "run.json"
        ),
    log:
        f"{PLAN.model_logs}/train.log",
    benchmark:
        f"{PLAN.model_logs}/train.benchmark.tsv"
    wildcard_constraints:
        defense="none",
    priority: 30
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=PLAN.slice("train"),
        code=PLAN.code("train"),
    shell:
        "exec certibayes train --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
