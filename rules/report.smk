rule report:
    input:
        PLAN.references(),
        PLAN.evaluations("metrics.csv"),
        PLAN.evaluations("items.npz"),
        PLAN.evaluations("coverage.csv"),
        PLAN.evaluations("parameters.csv"),
        PLAN.evaluations("posterior.npz"),
        PLAN.adaptive_checks(),
    output:
        summary=report(
            f"{PLAN.root}/summary.csv",
            caption="captions/summary.rst",
            category="Summary",
        ),
        seeds=report(
            f"{PLAN.root}/seeds.csv",
            caption="captions/seeds.rst",
            category="Summary",
        ),
        tradeoff=report(
            f"{PLAN.root}/tradeoff.csv",
            caption="captions/tradeoff.rst",
            category="Summary",
        ),
        tightness=report(
            f"{PLAN.root}/tightness.csv",
            caption="captions/tightness.rst",
            category="Summary",
        ),
        invariants=report(
            f"{PLAN.root}/invariants.json",
            caption="captions/invariants.rst",
            category="Summary",
        ),
        models=f"{PLAN.root}/models.json",
        page=f"{PLAN.root}/report.html",
        run=f"{PLAN.root}/run.json",
        figures=report(
            directory(f"{PLAN.root}/report"),
            patterns=["{name}.png", "{name}.html", "{name}.csv"],
            caption="captions/figures.rst",
            category="Figures and tables",
            labels={"content": "{name}"},
        ),
    log:
        f"{PLAN.logs}/report.log",
    benchmark:
        f"{PLAN.logs}/report.benchmark.tsv"
    conda:
        "../envs/certibayes.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        job=PLAN.report_digest(),
        file=PLAN.report_file,
        code=PLAN.code("report"),
    shell:
        "exec certibayes report --job @{params.file} --code {params.code}"
        " --threads {threads} --log {log}"
