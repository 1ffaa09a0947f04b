rule attack:
    input:
        reference=ancient(multiext(f"{PLAN.reference}/", "test.npz", "scale.json")),
        weights=multiext(f"{PLAN.model}/model/", "weights.safetensors", "manifest.json"),
        transfer=PLAN.transfer_weights,
    output:
        multiext(
            f"{PLAN.model}/attack/{{attack}}/",
            "attack.npz",
            "adaptive.csv",
            "adaptive.npz",
            "run.json",
        ),
    log:
        f"{PLAN.model_logs}/attack/{{attack}}.log",
    benchmark:
        f"{PLAN.model_logs}/attack/{{attack}}.benchmark.tsv"
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=PLAN.slice("attack"),
        code=PLAN.code("attack"),
    shell:
        "exec certibayes attack --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
