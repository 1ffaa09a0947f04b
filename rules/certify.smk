rule certify:
    input:
        reference=ancient(multiext(f"{PLAN.reference}/", "test.npz", "scale.json")),
        weights=multiext(f"{PLAN.model}/model/", "weights.safetensors", "manifest.json"),
    output:
        multiext(
            f"{PLAN.model}/certify/{{certificate}}/", "certificate.npz", "run.json"
        ),
    log:
        f"{PLAN.model_logs}/certify/{{certificate}}.log",
    benchmark:
        f"{PLAN.model_logs}/certify/{{certificate}}.benchmark.tsv"
    priority: 20
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        job=PLAN.slice("certify"),
        code=PLAN.code("certify"),
    shell:
        "exec certibayes certify --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
