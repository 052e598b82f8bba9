"""The launchers, as far as a machine without a cluster can tell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "launch" / "slurm").glob("*.sbatch"))

SRUN = """#!/usr/bin/env bash
# Starts SLURM_NTASKS processes side by side, as srun would.
[[ "$1" == --* ]] && shift
pids=()
for ((i = 0; i < SLURM_NTASKS; i++)); do SLURM_PROCID=$i "$@" & pids+=($!); done
code=0
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit $code
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" >>"$ASKED"; fi
"""


@pytest.fixture
def cluster(tmp_path):
    """Environment of a job of two processes, with `copgen` as a stub that the test writes."""

    def make(copgen, tasks=2):
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("copgen", copgen)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        job = {"SLURM_JOB_ID": "4242", "SLURM_NTASKS": str(tasks), "SLURM_JOB_NODELIST": "node[1-2]"}
        given = {"CONFIG": "tiny", "LATENTS": "world", "OUT": str(tmp_path / "a run"), "ASKED": str(tmp_path / "asked")}
        path = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        return {**os.environ, **job, **given, **path, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}

    return make


def submit(name, env, *words):
    script = ROOT / "launch" / "slurm" / f"{name}.sbatch"
    return subprocess.run(
        ["bash", str(script), *words], env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_two_nodes_are_one_job(cluster, tmp_path):
    """The script really starts two JAX processes that find each other."""
    program = (
        "import jax; from copgen_jax.parallel import start_processes; start_processes(); import json, os, sys; "
        "found = [jax.process_index(), jax.process_count(), jax.device_count(), sys.argv[1:]]; "
        'open(os.environ["ASKED"] + str(found[0]), "w").write(json.dumps(found))'
    )
    env = cluster(f"#!/usr/bin/env bash\nexec {sys.executable} -c '{program}' \"$@\"\n")
    done = submit("multi_node", env, "--config.seed=3")
    assert done.returncode == 0, done.stderr
    said = [json.loads((tmp_path / f"asked{i}").read_text()) for i in range(2)]
    words = ["train", "backbone", "--config", "tiny", "--latents", "world", "--out", env["OUT"], "--resume"]
    assert said == [[i, 2, 2, [*words, "--config.seed=3"]] for i in range(2)]


@pytest.mark.parametrize("name", ["single_node", "multi_node"])
@pytest.mark.parametrize(("code", "expected", "asked"), [(75, 0, "requeue 4242\n"), (2, 2, None), (0, 0, None)])
def test_a_job_that_saved_and_stopped_is_queued_again(cluster, tmp_path, name, code, expected, asked):
    env = cluster(f"#!/usr/bin/env bash\nexit {code}\n", tasks=2 if name == "multi_node" else 1)
    assert submit(name, env).returncode == expected
    found = (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else None
    assert found == asked


def test_array_jobs_take_their_shares(cluster, tmp_path):
    env = cluster('#!/usr/bin/env bash\necho "$@"\n', tasks=1)
    env |= {"DATA": "/data/cells", "MODEL": "/models/m", "SLURM_ARRAY_TASK_COUNT": "4"}
    env |= {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5"}
    done = submit("encode_array", env)
    assert done.returncode == 0, done.stderr
    assert "--task 2/4 --resume" in done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_scripts_quote_and_say_what_they_miss(path):
    text = path.read_text()
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    for line in text.splitlines():
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|\$\(\([^)]*\)\)", "", line.split("# ")[0])
        assert "$" not in bare.replace("$(scontrol", "").replace("|| code=$?", ""), line
    assert not re.search(r"--config\.", text.replace("[--config.key=value ...]", "")), "no settings of training here"
    done = subprocess.run(["bash", str(path)], env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"a preset or" in done.stderr or b"a folder of cells" in done.stderr


QUANTITY = (int, str)
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
CONTAINER = {
    "name": NAME,
    "image": str,
    "command?": [str],
    "args?": [str],
    "env?": [{"name": str, "value?": str}],
    "ports?": [{"containerPort": int, "name?": str}],
    "resources?": {"limits?": {str: QUANTITY}, "requests?": {str: QUANTITY}},
    "volumeMounts?": [{"name": str, "mountPath": str, "readOnly?": bool}],
}
POD = {
    "restartPolicy?": {"Never", "OnFailure"},
    "terminationGracePeriodSeconds?": int,
    "securityContext?": {"runAsNonRoot?": bool, "runAsUser?": int, "fsGroup?": int},
    "containers": [CONTAINER],
    "volumes?": [
        {"name": NAME, "persistentVolumeClaim?": {"claimName": str}, "emptyDir?": {"medium?": {"", "Memory"}}}
    ],
}
ON_EXIT = {"containerName?": str, "operator": {"In", "NotIn"}, "values": [int]}
JOB = {
    "parallelism?": int,
    "completions?": int,
    "backoffLimit?": int,
    "completionMode?": {"Indexed", "NonIndexed"},
    "podFailurePolicy?": {"rules": [{"action": {"FailJob", "Ignore", "Count", "FailIndex"}, "onExitCodes?": ON_EXIT}]},
    "template": {"metadata?": dict, "spec?": POD},
}
RESTARTS = {
    "name": re.compile(r"[A-Za-z][A-Za-z0-9_,:]{0,127}(?<![,:])"),
    "action": {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
    "onJobFailureReasons?": [
        {"BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"}
    ],
    "targetReplicatedJobs?": [str],
}
JOB_SET = {
    "apiVersion": {"jobset.x-k8s.io/v1alpha2"},
    "kind": {"JobSet"},
    "metadata": {"name": NAME, "namespace?": NAME, "labels?": {str: str}},
    "spec": {
        "replicatedJobs": [{"name": NAME, "replicas?": int, "template": {"metadata?": dict, "spec": JOB}}],
        "network?": {"enableDNSHostnames?": bool, "subdomain?": NAME, "publishNotReadyAddresses?": bool},
        "failurePolicy?": {"maxRestarts?": int, "rules?": [RESTARTS]},
    },
}
"""What the API server takes of the fields that we use: a type, a pattern, a set of words, a list of one kind, a mapping
of fields ("?" may be missing), or {str: kind} with any names."""


def faults(value, kind, where="$"):
    """Where a document is not of a kind."""
    if isinstance(kind, re.Pattern):
        return [] if isinstance(value, str) and kind.fullmatch(value) else [where]
    if isinstance(kind, set):
        return [] if value in kind else [where]
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [where]
        return [fault for i, item in enumerate(value) for fault in faults(item, kind[0], f"{where}[{i}]")]
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return [where]
        if str in kind:
            return [fault for name, item in value.items() for fault in faults(item, kind[str], f"{where}.{name}")]
        kinds = {name.removesuffix("?"): inner for name, inner in kind.items()}
        missing = [f"{where}.{name}" for name in kind if not name.endswith("?") and name not in value]
        unknown = [f"{where}.{name}" for name in value if name not in kinds]
        inside = [f for n, item in value.items() if n in kinds for f in faults(item, kinds[n], f"{where}.{n}")]
        return missing + unknown + inside
    return [] if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else [where]


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("", "", []),
        ("backoffLimit: 0", "backofLimit: 0", ["$.spec.replicatedJobs[0].template.spec.backofLimit"]),
        ("maxRestarts: 100", "maxRestarts: many", ["$.spec.failurePolicy.maxRestarts"]),
        ("action: FailJobSet", "action: Fail", ["$.spec.failurePolicy.rules[0].action"]),
        ("  name: copgen\nspec", "  name: copgen_jax\nspec", ["$.metadata.name"]),
        ('value: "4"', "value: 4", ["$.spec.replicatedJobs[0].template.spec.template.spec.containers[0].env[4].value"]),
        ("enableDNSHostnames: true", "enableDNSHostnames: 1", ["$.spec.network.enableDNSHostnames"]),
    ],
)
def test_job_set_is_what_the_api_server_takes(before, after, where):
    text = (ROOT / "launch" / "kubernetes" / "jobset.yaml").read_text()
    assert before in text
    assert faults(yaml.safe_load(text.replace(before, after, 1) if before else text), JOB_SET) == where


def test_job_set_is_complete():
    job = yaml.safe_load((ROOT / "launch" / "kubernetes" / "jobset.yaml").read_text())
    (replicated,) = job["spec"]["replicatedJobs"]
    spec = replicated["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    values = {entry["name"]: entry["value"] for entry in container["env"]}
    assert all(isinstance(value, str) for value in values.values())
    assert values["JAX_NUM_PROCESSES"] == str(spec["completions"]) == str(spec["parallelism"])
    host = values["JAX_COORDINATOR_ADDRESS"].split(":")[0]
    assert host == f"{job['metadata']['name']}-{replicated['name']}-0-0.{job['metadata']['name']}"
    assert pod["securityContext"]["runAsNonRoot"] is True
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [2]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_container_does_not_run_as_root():
    lines = (ROOT / "launch" / "Containerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["copgen"]
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize(("codes", "expected"), [((0, 0), 0), ((75, 75), 75), ((0, 2), 2)])
def test_local_launcher_passes_on_codes_and_numbers(tmp_path, codes, expected):
    program = (
        "import os, sys; i = int(os.environ['JAX_PROCESS_ID']); assert os.environ['JAX_NUM_PROCESSES'] == '2'; "
        f"sys.exit({codes}[i])"
    )
    launcher = [sys.executable, str(ROOT / "launch" / "local.py"), "--processes", "2", "--grace", "5", "--"]
    assert subprocess.run([*launcher, sys.executable, "-c", program], check=False).returncode == expected
