//! The walk-through of the README, literally, in namespace `default`, with its transcript.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::install::outrigger;
use crate::kubectl::{Namespace, all_ready, eventually, kubectl, manifest, run};

const FILES: [&str; 3] = ["rules.yaml", "helloworld.yaml", "curl.yaml"];
/// Where the Service of the walk-through is, in the namespace that it is in.
const HELLO: &str = "curl -s helloworld.default.svc.cluster.local:5000/hello";

/// Proxies by a label, both versions in turn, and then rules for one of the two clients.
pub(crate) fn walkthrough() -> Result<()> {
    outrigger()?;
    clean()?;
    show("kubectl label namespace default istio-injection=enabled")?;
    show("kubectl apply -f docs/walkthrough/helloworld.yaml -f docs/walkthrough/curl.yaml")?;
    show("kubectl wait --for=condition=Available deployment --all --timeout=120s")?;
    all_ready(&show("kubectl get pods")?, "2/2")?;

    for client in ["curl-deploy", "curl-deploy1"] {
        let hello = format!("kubectl exec deploy/{client} -c curl -- {HELLO}");
        let answers = (0..4).map(|_| show(&hello)).collect::<Result<Vec<_>>>()?;
        in_turn(&answers)?;
    }

    show("kubectl apply -f docs/walkthrough/rules.yaml")?;
    let default = Namespace("default");
    followed(&default)?;
    for client in ["curl-deploy", "curl-deploy1"] {
        let hello = format!("kubectl exec deploy/{client} -c curl -- {HELLO}");
        let answers = (0..4).map(|_| show(&hello)).collect::<Result<Vec<_>>>()?;
        match client {
            "curl-deploy" => only("v1", &answers)?,
            _ => in_turn(&answers)?,
        }
    }
    clean()
}

/// Waits until the rules of the walk-through have reached the proxy of `curl-deploy` in a namespace.
pub(crate) fn followed(namespace: &Namespace) -> Result<()> {
    eventually("app=curl gets v1 only", Duration::from_secs(10), || {
        Ok(only("v1", &hello(namespace, "curl-deploy", 4)?).is_ok())
    })
}

/// The answers to some requests, one connection each, from a client to the Service `helloworld` of its namespace.
pub(crate) fn hello(namespace: &Namespace, client: &str, requests: usize) -> Result<Vec<String>> {
    let url = format!("helloworld.{}.svc.cluster.local:5000/hello", namespace.0);
    let script = format!("for i in $(seq {requests}); do curl -sS -m 5 {url}; done");
    let answers = namespace.shell(&format!("deploy/{client}"), &script)?;
    Ok(answers.lines().map(str::to_owned).collect())
}

/// Fails unless v1 and v2 answered in turn.
pub(crate) fn in_turn(answers: &[String]) -> Result<()> {
    let versions: Vec<_> = answers.iter().map(|answer| version(answer)).collect();
    ensure!(
        versions.iter().all(Option::is_some)
            && versions.len() > 1
            && versions.windows(2).all(|pair| pair[0] != pair[1]),
        "v1 and v2 did not answer in turn: {answers:#?}"
    );
    Ok(())
}

/// Fails unless one version gave all answers.
pub(crate) fn only(expected: &str, answers: &[String]) -> Result<()> {
    ensure!(
        !answers.is_empty() && answers.iter().all(|answer| version(answer) == Some(expected)),
        "not only {expected} answered: {answers:#?}"
    );
    Ok(())
}

/// `v1` of `Hello version: v1, instance: …`.
pub(crate) fn version(answer: &str) -> Option<&str> {
    Some(
        answer
            .strip_prefix("Hello version: ")?
            .split_once(", instance: helloworld-")?
            .0,
    )
}

/// Runs a command line, and prints it with what it said, as a terminal would.
fn show(command: &str) -> Result<String> {
    println!("    $ {command}");
    let words: Vec<String> = command
        .split(' ')
        .map(|word| match word.strip_prefix("docs/walkthrough/") {
            Some(name) => manifest(name),
            None => word.to_owned(),
        })
        .collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let answer = run(words[0], &words[1..], "")?;
    answer.lines().for_each(|line| println!("    {line}"));
    Ok(answer)
}

/// Leaves namespace `default` as if nobody had walked there.
fn clean() -> Result<()> {
    for file in FILES {
        let file = manifest(file);
        let delete = ["delete", "--ignore-not-found", "--wait=false", "-f", &file];
        kubectl(&[&["-n", "default"], &delete[..]].concat())?;
    }
    kubectl(&[
        "-n",
        "default",
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "app in (helloworld,curl,curl1)",
        "--timeout=60s",
    ])?;
    kubectl(&["label", "namespace", "default", "istio-injection-"]).map(drop)
}
