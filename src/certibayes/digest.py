"""The code digest of a job: changes exactly when code that can change the job's result changes.

It is the sha256 of the syntax trees (no comments, no docstrings) of the static import closure of
the job's stage module and of the plug-ins that its slice of the config names, of the data files
beside these modules that carry their name, and of the fixed shard size of its task. A user's own
simulator counts like a module of ours, with the modules beside its file that it imports. Imports
inside functions count, imports under `if TYPE_CHECKING` do not. Of the package's own `__init__` its
constants count, not what users call there.

Left out, because nothing they do reaches a result: the config package and the layout (values and
paths stand in the rule already), the registry (a job names its plug-ins), the search for files of
data sets (their checksums count), tracking, journals, checkpoints and attempts, locking, the
command line, the workflow package, and, for all jobs but the report, the report code. Code of other
packages is left out too: force a re-run after an upgrade.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from certibayes import registry
from certibayes.config.certificates import Coverage, PosteriorShift
from certibayes.config.defenses import RobustLikelihood
from certibayes.config.jobs import (
    AttackJob,
    CertifyJob,
    DecoderJob,
    EvaluateJob,
    GatherJob,
    Job,
    ModelJob,
    ReportJob,
    SimulateJob,
)
from certibayes.config.simulators.own import OwnSimulator
from certibayes.script_digest import digest_of_script
from certibayes.syntax import imported_names, tree_of

PACKAGE = "certibayes"
LEFT_OUT = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "address",
        "attempt",
        "checkpoint",
        "cli",
        "commands",
        "config",
        "datasets.download",
        "datasets.obtain",
        "datasets.roots",
        "device",
        "digest",
        "explained",
        "flock",
        "integrity",
        "journal",
        "layout",
        "locking",
        "preparation",
        "process",
        "provenance",
        "registry",
        "reporting",
        "resumption",
        "script_digest",
        "syntax",
        "tracking",
        "workflow",
        "writing",
    )
)
REPORT = f"{PACKAGE}.report"
DATA_SUFFIXES = (".css", ".csv", ".json")
PREDICTIVE_BOUNDS = f"{PACKAGE}.bnn.predictive_bounds"


def code_digest(job: Job | ReportJob, source: Path | None = None) -> str:
    """Return the code digest of one job, 16 hexadecimal digits.

    Args:
        job: the job's slice of the config.
        source: folder that holds the package's modules; None = the imported package.
    """
    source = source or Path(__file__).parent
    digest = hashlib.sha256(_text_of(source, closure(job, source)))
    if isinstance(job, Job):
        digest.update(f"shard size {job.task_spec.shard_size}".encode())
        if isinstance(job.task_spec, OwnSimulator):
            digest.update(digest_of_script(Path(job.task_spec.file)).encode())
    return digest.hexdigest()[:16]


@cache
def _text_of(source: Path, modules: tuple[str, ...]) -> bytes:
    """Return what the digest says of modules and their data; most jobs of a study share it."""
    lines = []
    for module in modules:
        lines.append(f"{module} {_tree_digest(source, module)}\n")
        lines += [
            f"{data.name} {hashlib.sha256(data.read_bytes()).hexdigest()}\n"
            for data in _data_files(source, module)
        ]
    return "".join(lines).encode()


def closure(job: Job | ReportJob, source: Path | None = None) -> tuple[str, ...]:
    """Return the sorted names of the modules that decide a job's result."""
    source = source or Path(__file__).parent
    left_out = LEFT_OUT if isinstance(job, ReportJob) else LEFT_OUT | {REPORT}
    return _closure(source, frozenset(roots(job)), left_out)


def roots(job: Job | ReportJob) -> tuple[str, ...]:
    """Return the modules at which a job's closure starts: its stage and its plug-ins.

    Jobs on a model start at the gather stage too: they read the test pairs and units it wrote, and
    rules take those as `ancient` files, so that a new shard re-runs nothing else.
    """
    if isinstance(job, ReportJob):
        return (_stage("report"),)
    if isinstance(job, DecoderJob):
        return (_stage("decoder"),)
    task = registry.module_of("task", job.task_spec.kind)
    if isinstance(job, SimulateJob):
        return (_stage("simulate"), task)
    if isinstance(job, GatherJob):
        return (_stage("gather"), task)
    assert isinstance(job, ModelJob)
    common = (_stage("gather"), task, *_model_roots(job))
    if isinstance(job, AttackJob):
        used = {job.attack_spec.kind, *(spec.kind for spec in job.checks.values())}
        attacks = (registry.module_of("attack", kind) for kind in sorted(used))
        objective = registry.module_of("objective", job.attack_spec.objective)
        return (_stage("attack"), *common, *attacks, objective)
    if isinstance(job, CertifyJob):
        certificate = registry.module_of("certificate", job.certificate_spec.kind)
        bounds = (*_bounds_roots(job), *_shift_bounds(job))
        return (_stage("certify"), *common, certificate, *bounds)
    if isinstance(job, EvaluateJob):
        kinds = sorted({spec.kind for spec in job.certificates.values()})
        certificates = (registry.module_of("certificate", kind) for kind in kinds)
        measured = job.attacks.values() if job.model_spec.form == "posterior" else ()
        aims = sorted({spec.objective for spec in measured})
        objectives = (registry.module_of("objective", aim) for aim in aims)
        return (_stage("evaluate"), *common, *certificates, *objectives)
    defense = registry.module_of("defense", job.defense_spec.kind)
    stage = _stage("train" if job.defense == "none" else "retrain")
    return (stage, *common, defense, *_worst_case(job))


def _stage(name: str) -> str:
    return f"{PACKAGE}.stages.{name}"


def _model_roots(job: ModelJob) -> tuple[str, ...]:
    spec = job.model_spec
    inference = registry.module_of("inference", spec.inference.kind)
    if spec.estimator is not None:
        modules = (registry.module_of("estimator", kind) for kind in _estimator_kinds(job))
        embedding = spec.estimator.embedding
        embeddings = [] if embedding is None else [registry.module_of("embedding", embedding.kind)]
        return (*modules, *embeddings, inference)
    assert spec.network is not None
    return (registry.module_of("network", spec.network.kind), inference)


def _bounds_roots(job: ModelJob) -> tuple[str, ...]:
    if job.model_spec.estimator is None:
        return (PREDICTIVE_BOUNDS,)
    kinds = ("estimator_bounds", "forward_kl_bounds", "head_shift_bounds", "log_density_graph")
    return tuple(
        registry.module_of(kind, name)
        for kind in kinds
        for name in _estimator_kinds(job)
        if name in registry.names(kind)
    )


def _estimator_kinds(job: ModelJob) -> tuple[str, ...]:
    estimator = job.model_spec.estimator
    assert estimator is not None
    return (estimator.kind,) if job.model_spec.members == 1 else (estimator.kind, "ensemble")


def _shift_bounds(job: CertifyJob) -> tuple[str, ...]:
    spec = job.certificate_spec
    if not isinstance(spec, PosteriorShift | Coverage):
        return ()
    return (registry.module_of("shift_bounds", spec.bounds),)


def _worst_case(job: ModelJob) -> tuple[str, ...]:
    spec = job.defense_spec
    if not isinstance(spec, RobustLikelihood):
        return ()
    return (registry.module_of("worst_case", spec.bounds), *_bounds_roots(job))


@cache
def _closure(source: Path, start: frozenset[str], left_out: frozenset[str]) -> tuple[str, ...]:
    found: set[str] = set()
    waiting = sorted(start)
    while waiting:
        module = waiting.pop()
        if module in found or _is_left_out(module, left_out):
            continue
        if _file(source, module) is None:
            raise FileNotFoundError(f"{module}: no such module in {source}")
        found.add(module)
        waiting.extend(_imports(source, module))
        waiting.extend(name for name in _packages(module) if _file(source, name) is not None)
    return tuple(sorted(found))


def _is_left_out(module: str, left_out: frozenset[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in left_out)


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


@cache
def _file(source: Path, module: str) -> Path | None:
    base = source.joinpath(*module.split(".")[1:])
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


def _data_files(source: Path, module: str) -> list[Path]:
    """Return the files of data that belong to a module: its name, then anything, beside it."""
    path = _file(source, module)
    assert path is not None
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    return sorted(found for found in path.parent.glob(f"{stem}*") if found.suffix in DATA_SUFFIXES)


@cache
def _tree(source: Path, module: str) -> ast.Module:
    path = _file(source, module)
    assert path is not None
    tree = tree_of(path)
    if module == PACKAGE:
        tree.body = [statement for statement in tree.body if isinstance(statement, ast.Assign)]
    return tree


@cache
def _tree_digest(source: Path, module: str) -> str:
    return hashlib.sha256(ast.dump(_tree(source, module)).encode()).hexdigest()


@cache
def _imports(source: Path, module: str) -> tuple[str, ...]:
    path = _file(source, module)
    assert path is not None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = imported_names(_tree(source, module), package)
    own = (name for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}."))
    return tuple(sorted(name for name in own if _file(source, name) is not None))
