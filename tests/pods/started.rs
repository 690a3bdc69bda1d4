//! Starts the proxy's two programs as a pod's containers say, as far as their arguments and environment: what the injector writes
//! is what `outrigger-proxy` reads. After it: `properties`.

use clap::{Args, Command, FromArgMatches};
use outrigger_proxy::config::RunArgs;
use outrigger_proxy::init::InitArgs;
use serde_json::Value;

/// Reads what the containers of an injected pod are started with; `before` is the pod without them.
pub(super) fn read(pod: &Value, before: &Value) {
    let init = container(pod, "outrigger-init").expect("an init container");
    let mut args = texts(&init["args"]);
    assert_eq!(args.next(), Some("init"), "{init}");
    let command = InitArgs::augment_args(Command::new("init"));
    let matches = command.try_get_matches_from(["init"].into_iter().chain(args));
    InitArgs::from_arg_matches(&matches.expect("arguments of init")).expect("arguments of init");

    let proxy = container(pod, "outrigger-proxy").expect("a proxy");
    let author = container(before, "outrigger-proxy");
    // An author may replace the arguments, and answers for them.
    let own = author.is_some_and(|author| author["args"].is_array());
    assert!(own || texts(&proxy["args"]).eq(["run"]), "{proxy}");
    let command = RunArgs::augment_args(Command::new("run"));
    let mut flags = vec!["run".to_string()];
    for variable in proxy["env"].as_array().expect("a list") {
        let name = variable["name"].as_str().expect("a name");
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_env().is_some_and(|env| env == name));
        let Some(arg) = arg else {
            let known =
                name == "OUTRIGGER_LOG" || author.is_some_and(|it| it["env"].to_string().contains(name));
            assert!(known, "the proxy knows no {name}");
            continue;
        };
        let long = arg.get_long().expect("a flag");
        match variable["value"].as_str() {
            Some("true") if !arg.get_action().takes_values() => flags.push(format!("--{long}")),
            Some(value) => flags.push(format!("--{long}={value}")),
            // From the downward API: known when the pod runs.
            None => {}
        }
    }
    let matches = command
        .try_get_matches_from(flags)
        .expect("the proxy's environment");
    let args = RunArgs::from_arg_matches(&matches).expect("the proxy's environment");
    args.resolve(true).expect("the proxy's environment");
}

/// The container of this name, wherever it is.
pub(super) fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|container| container["name"] == name)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().expect("a string"))
}
