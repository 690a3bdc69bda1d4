//! The command line: what can be asked for, and which part of the crate answers. Ends with 0 when the work is done,
//! 1 when it failed, 2 for a wrong command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::check::CheckArgs;
use crate::controller::ControllerArgs;
use crate::demo::DemoArgs;
use crate::explain::ExplainArgs;

/// A sidecar injector and control plane that speaks Istio's API.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    /// What is logged to stderr, as in `info` or `outrigger=debug,warn`
    #[arg(long, env = "OUTRIGGER_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the control plane: the injector's webhook and discovery
    #[command(
        after_help = "Example:\n  outrigger controller --config config.yaml --namespace outrigger-system"
    )]
    Controller(ControllerArgs),
    /// Run the whole of it on loopback, without a cluster
    #[command(after_help = "Example:\n  outrigger demo --once\n  outrigger demo docs/walkthrough")]
    Demo(DemoArgs),
    /// Add the proxy to the pods of manifests, as the webhook would
    #[command(
        after_help = "Examples:\n  kubectl create -f <(outrigger inject -f app.yaml)\n  outrigger inject -f app.yaml --diff"
    )]
    Inject(InjectArgs),
    /// Take the proxy out of the pods of manifests; what `inject` made of a file becomes that file again
    #[command(
        after_help = "Example:\n  kubectl get deployment web -o yaml | outrigger uninject -f - | kubectl apply -f -"
    )]
    Uninject(ManifestArgs),
    /// Say why something is as it is
    Explain(ExplainArgs),
    /// Check a cluster before and after an install, and audit its running pods
    #[command(
        after_help = "Examples:\n  outrigger check --pre\n  outrigger check\n  outrigger check -n shop -o json\n\n\
                      Ends with 1 if a check failed or a pod is not as the rules say; warnings alone are no failure."
    )]
    Check(CheckArgs),
    /// Print the custom resource definitions
    #[command(after_help = "Example:\n  outrigger crds | kubectl apply -f -")]
    Crds,
    /// GET a URL; done if the answer is 200
    #[command(after_help = "Example:\n  outrigger probe http://outrigger.outrigger-system.svc:15014/ready")]
    Probe(crate::probe::ProbeArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  source <(outrigger completions bash)")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version
    #[command(after_help = "Example:\n  outrigger version")]
    Version,
}

/// What `inject` and `uninject` read and write.
#[derive(Debug, clap::Args)]
pub struct ManifestArgs {
    /// A file, a directory of .yaml, .yml and .json files, or - for standard input; may be given more than once
    #[arg(short, long = "filename", required = true)]
    pub filename: Vec<PathBuf>,
    /// How to print: yaml changes nothing but what is to be changed, json has one document per object
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    pub output: Output,
    /// Print what would change instead, as a unified diff
    #[arg(long, conflicts_with = "output")]
    pub diff: bool,
}

/// What `inject` reads, by which settings it injects, and what it writes.
#[derive(Debug, clap::Args)]
pub struct InjectArgs {
    /// The files.
    #[command(flatten)]
    pub manifests: ManifestArgs,
    /// By whose settings.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Whose settings; without any, those of the cluster that the kubeconfig names if it answers, else the built-in ones.
#[derive(Debug, clap::Args)]
pub struct SettingsArgs {
    /// Settings in the format of the ConfigMap `outrigger`; without any, those of the cluster that the kubeconfig names if it
    /// answers, else the built-in ones
    #[arg(long, value_name = "FILE", conflicts_with = "values")]
    pub config: Option<PathBuf>,
    /// Settings as a values file of the Helm chart
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// The namespace that Outrigger is installed in
    #[arg(long, value_name = "NAMESPACE", default_value = "outrigger-system")]
    pub outrigger_namespace: String,
}

/// How manifests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// As YAML documents.
    Yaml,
    /// As JSON, one document after another.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_shows_an_example() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands().filter(|it| it.get_name() != "help") {
            let nested = command.get_subcommands().filter(|it| it.get_name() != "help");
            let leaves: Vec<_> = nested.collect();
            for leaf in if leaves.is_empty() { vec![command] } else { leaves } {
                let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
                let shown = format!("outrigger {}", command.get_name());
                assert!(
                    help.starts_with("Example") && help.contains(&shown),
                    "{}",
                    leaf.get_name()
                );
            }
        }
        cli.debug_assert();
    }
}
