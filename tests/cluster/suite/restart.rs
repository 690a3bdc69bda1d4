//! Parts are replaced while clients send: what do they notice?

use anyhow::{Context, Result, ensure};

use crate::install::{SYSTEM, outrigger};
use crate::kubectl::{Namespace, all_ready, kubectl, manifest};
use crate::traffic::Traffic;
use crate::walkthrough::{followed, hello, in_turn};

/// A rolling restart, during which pods are created, and then the end of both replicas at once: no request fails, no
/// pod stays without its proxy, and rules are followed afterwards.
pub(crate) fn control_plane() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("restart")?;
    namespace.walkthrough()?;
    let traffic = Traffic::start(&namespace)?;

    let deployment = "deployment/outrigger";
    kubectl(&["-n", SYSTEM, "rollout", "restart", deployment])?;
    let mut created = 0;
    loop {
        namespace
            .apply(&sleeper(created))
            .context("while the control plane restarts")?;
        created += 1;
        if kubectl(&["-n", SYSTEM, "rollout", "status", deployment, "--timeout=1s"]).is_ok() {
            break;
        }
        ensure!(created < 120, "the control plane's restart does not end");
    }
    let sleepers = ["-l", "app=sleeper"];
    let ready = ["wait", "--for=condition=Ready", "pod", "--timeout=90s"];
    namespace.kubectl(&[&ready[..], &sleepers].concat())?;
    all_ready(
        &namespace.kubectl(&[&["get", "pods"], &sleepers[..]].concat())?,
        "2/2",
    )?;

    let replicas = [
        "-n",
        SYSTEM,
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=outrigger",
    ];
    kubectl(&[&replicas[..], &["--grace-period=0", "--force"]].concat())?;
    kubectl(&["-n", SYSTEM, "rollout", "status", deployment, "--timeout=90s"])?;
    let answers = traffic.stop()?;
    println!("    {created} pods created meanwhile; answers: {answers}");
    answers.all_well(100)?;

    namespace.kubectl(&["apply", "-f", &manifest("rules.yaml")])?;
    followed(&namespace)?;
    in_turn(&hello(&namespace, "curl-deploy1", 4)?)?;
    namespace.delete()
}

fn sleeper(number: usize) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{ name: sleeper-{number}, labels: {{ app: sleeper }} }}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {{ name: curl, image: docker.io/curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, 3650d] }}
"#
    )
}

/// Both versions of the server roll over to new pods: their proxies drain, and the clients' proxies learn of it in time.
pub(crate) fn servers() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("rollout")?;
    namespace.walkthrough()?;
    let traffic = Traffic::start(&namespace)?;
    for _ in 0..2 {
        namespace.kubectl(&[
            "rollout",
            "restart",
            "deployment/helloworld-v1",
            "deployment/helloworld-v2",
        ])?;
        for deployment in ["deployment/helloworld-v1", "deployment/helloworld-v2"] {
            namespace.kubectl(&["rollout", "status", deployment, "--timeout=90s"])?;
        }
    }
    let old = ["wait", "--for=delete", "pod", "-l", "app=helloworld"];
    let terminating = namespace.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=helloworld",
        "-o",
        "jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.metadata.name} {end}",
    ])?;
    for pod in terminating.split_whitespace() {
        let pod = format!("pod/{pod}");
        namespace.kubectl(&[&old[..2], &[&pod, "--timeout=60s"]].concat())?;
    }
    let answers = traffic.stop()?;
    println!("    answers: {answers}");
    answers.all_well(100)?;
    namespace.delete()
}

/// Servers come and go by the dozen, one is killed in the middle of its work, and then half of them at once, as when a node
/// is lost: graceful ends cost no request, and what a kill breaks is sent again, because the rule says that it may be.
pub(crate) fn endpoints() -> Result<()> {
    outrigger()?;
    let namespace = Namespace::injected("endpoints")?;
    namespace.walkthrough()?;
    namespace.apply(
        r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: helloworld }
spec:
  hosts: [helloworld]
  http:
    - route: [{ destination: { host: helloworld } }]
      retries: { attempts: 3, retryOn: "connect-failure,refused-stream,reset" }
"#,
    )?;
    let scale = |replicas: &str| -> Result<()> {
        let (v1, v2) = ("deployment/helloworld-v1", "deployment/helloworld-v2");
        namespace.kubectl(&["scale", v1, v2, "--replicas", replicas])?;
        for deployment in [v1, v2] {
            namespace.kubectl(&["rollout", "status", deployment, "--timeout=90s"])?;
        }
        Ok(())
    };
    let kill = |pods: &[&str]| -> Result<()> {
        let force = ["delete", "pod", "--grace-period=0", "--force"];
        namespace.kubectl(&[&force[..], pods].concat())?;
        scale("4")
    };
    let count = |what: &str, doing: &dyn Fn() -> Result<()>| -> Result<()> {
        let traffic = Traffic::start(&namespace)?;
        doing()?;
        let answers = traffic.stop()?;
        println!("    {what}: {answers}");
        answers.all_well(50).with_context(|| what.to_owned())
    };
    count("from 1 to 4 of each and back to 1", &|| {
        scale("4")?;
        scale("1")
    })?;
    scale("4")?;
    let one = namespace.kubectl(&[
        "get",
        "pods",
        "-l",
        "version=v1",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])?;
    count("one of eight is killed", &|| kill(&[&one]))?;
    count("half of eight are killed at once", &|| {
        kill(&["-l", "version=v1"])
    })?;
    namespace.delete()
}
