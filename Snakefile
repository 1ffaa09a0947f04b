"""certibayes: simulate, train, attack, retrain, certify, evaluate, report.

snakemake --cores 2                                runs config.yaml
snakemake --cores 2 --configfile studies/ci.yaml   runs another study
"""

from snakemake.utils import min_version

from certibayes.workflow.start import load_plan, prepare_environment
from certibayes.workflow.hooks import begin, finish

min_version("9.27")

prepare_environment(workflow.basedir)
STUDY_FILE, PLAN = load_plan(workflow.basedir, workflow.configfiles, config)


report: "rules/captions/workflow.rst"


wildcard_constraints:
    task="[a-z][a-z0-9_]*",
    shard=r"\d+",
    budget=r"\d+",
    model="[a-z][a-z0-9_]*",
    defense="[a-z][a-z0-9_]*",
    seed=r"\d+",
    attack="[a-z][a-z0-9_]*",
    certificate="[a-z][a-z0-9_]*",


rule all:
    default_target: True
    input:
        f"{PLAN.root}/summary.csv",
        f"{PLAN.root}/invariants.json",


include: "rules/decoder.smk"
include: "rules/simulate.smk"
include: "rules/train.smk"
include: "rules/attack.smk"
include: "rules/retrain.smk"
include: "rules/certify.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    begin(PLAN, STUDY_FILE, local=workflow.local_exec)


onsuccess:
    finish(PLAN, STUDY_FILE, "FINISHED")


onerror:
    finish(PLAN, STUDY_FILE, "FAILED")
