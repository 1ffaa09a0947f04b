rule simulate:
    input:
        PLAN.simulate_inputs,
    output:
        multiext(
            f"{PLAN.shard}/",
            "target.npy",
            "x.npy",
            "valid.npy",
            "failures.json",
            "run.json",
        ),
    log:
        f"{PLAN.shard_logs}/simulate.log",
    benchmark:
        f"{PLAN.shard_logs}/simulate.benchmark.tsv"
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        job=PLAN.slice("simulate"),
        code=PLAN.code("simulate"),
    shell:
        "exec certibayes simulate --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"


rule gather:
    input:
        simulator=PLAN.simulate_inputs,
        shards=PLAN.task_shards,
    output:
        multiext(
            f"{PLAN.reference}/", "test.npz", "scale.json", "failures.json", "run.json"
        ),
    log:
        f"{PLAN.reference_logs}/gather.log",
    benchmark:
        f"{PLAN.reference_logs}/gather.benchmark.tsv"
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        job=PLAN.slice("gather"),
        code=PLAN.code("gather"),
    shell:
        "exec certibayes gather --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
