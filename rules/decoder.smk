rule decoder:
    input:
        [],
    output:
        multiext(f"{PLAN.decoder}/", "weights.safetensors", "manifest.json", "run.json"),
    log:
        f"{PLAN.decoder_logs}/decoder.log",
    benchmark:
        f"{PLAN.decoder_logs}/decoder.benchmark.tsv"
    priority: 40
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        job=PLAN.slice("decoder"),
        code=PLAN.code("decoder"),
    shell:
        "exec certibayes decoder --job {params.job:q} --code {params.code}"
        " --threads {threads} --log {log}"
