//! The flags of `outrigger-proxy init`, typed: what the injector fills in, and the one place that turns it into a
//! container's arguments. The values' types are in `capture`; `rules` comes after.

use std::fmt::Display;

use super::capture::{InboundPorts, Interfaces, Ports, Ranges};

/// The flags of `outrigger-proxy init`.
///
/// Lists are comma separated; an empty value is an empty list. What they mean is Istio's `traffic.sidecar.istio.io/*`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct InitArgs {
    /// User and group id of the proxy, whose own connections are never redirected
    #[arg(long, default_value_t = 1337)]
    pub proxy_uid: u32,
    /// Port to which outgoing connections are redirected
    #[arg(long, default_value_t = 15001, value_parser = clap::value_parser!(u16).range(1..))]
    pub outbound_port: u16,
    /// Port to which incoming connections are redirected
    #[arg(long, default_value_t = 15006, value_parser = clap::value_parser!(u16).range(1..))]
    pub inbound_port: u16,
    /// Ports on which incoming connections are redirected, or * for all; none if empty
    #[arg(long, value_name = "PORTS", default_value = "*")]
    pub include_inbound_ports: InboundPorts,
    /// Ports on which incoming connections go straight to the app, if all others are redirected; the proxy's own
    /// 15020 and 15021 always go straight
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_inbound_ports: Ports,
    /// Ports to which outgoing connections are redirected whatever the included ranges say
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub include_outbound_ports: Ports,
    /// Ports to which outgoing connections go straight
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_outbound_ports: Ports,
    /// Addresses to which outgoing connections are redirected: CIDRs, or * for all
    #[arg(long, value_name = "CIDRS", default_value = "*")]
    pub include_outbound_ranges: Ranges,
    /// Addresses to which outgoing connections go straight: CIDRs
    #[arg(long, value_name = "CIDRS", default_value = "")]
    pub exclude_outbound_ranges: Ranges,
    /// Network interfaces whose connections go straight, in both directions
    #[arg(long, value_name = "NAMES", default_value = "")]
    pub exclude_interfaces: Interfaces,
    /// Print the rules for both address families and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change nothing, but prove that something else (an agent on the node, a CNI plugin) redirects outgoing connections:
    /// connect out of the pod until a connection arrives at the outbound port. Needs no capability, and a user and group
    /// other than the proxy's. For incoming connections there is no proof from inside a pod
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
    /// How long --verify tries, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub verify_seconds: u64,
}

impl Default for InitArgs {
    /// What the flags are when none is given.
    fn default() -> Self {
        Self {
            proxy_uid: 1337,
            outbound_port: 15001,
            inbound_port: 15006,
            include_inbound_ports: InboundPorts::All,
            exclude_inbound_ports: Ports::default(),
            include_outbound_ports: Ports::default(),
            exclude_outbound_ports: Ports::default(),
            include_outbound_ranges: Ranges::All,
            exclude_outbound_ranges: Ranges::none(),
            exclude_interfaces: Interfaces::default(),
            dry_run: false,
            verify: false,
            verify_seconds: 60,
        }
    }
}

impl InitArgs {
    /// The arguments that say the same on a command line: `init`, the user and the two ports, and after them what is
    /// not its default.
    pub fn to_args(&self) -> Vec<String> {
        let default = Self::default();
        let mut args = vec![
            "init".to_owned(),
            format!("--proxy-uid={}", self.proxy_uid),
            format!("--outbound-port={}", self.outbound_port),
            format!("--inbound-port={}", self.inbound_port),
        ];
        args.extend(
            [
                flag(
                    "include-inbound-ports",
                    &self.include_inbound_ports,
                    &default.include_inbound_ports,
                ),
                flag(
                    "exclude-inbound-ports",
                    &self.exclude_inbound_ports,
                    &default.exclude_inbound_ports,
                ),
                flag(
                    "include-outbound-ports",
                    &self.include_outbound_ports,
                    &default.include_outbound_ports,
                ),
                flag(
                    "exclude-outbound-ports",
                    &self.exclude_outbound_ports,
                    &default.exclude_outbound_ports,
                ),
                flag(
                    "include-outbound-ranges",
                    &self.include_outbound_ranges,
                    &default.include_outbound_ranges,
                ),
                flag(
                    "exclude-outbound-ranges",
                    &self.exclude_outbound_ranges,
                    &default.exclude_outbound_ranges,
                ),
                flag(
                    "exclude-interfaces",
                    &self.exclude_interfaces,
                    &default.exclude_interfaces,
                ),
                self.dry_run.then(|| "--dry-run".to_owned()),
                self.verify.then(|| "--verify".to_owned()),
                flag("verify-seconds", &self.verify_seconds, &default.verify_seconds),
            ]
            .into_iter()
            .flatten(),
        );
        args
    }
}

fn flag<T: Display + PartialEq>(name: &str, value: &T, default: &T) -> Option<String> {
    (value != default).then(|| format!("--{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        init: InitArgs,
    }

    #[test]
    fn the_default_is_what_no_flags_are() {
        let parsed = Command::try_parse_from(["init"]).unwrap().init;
        assert_eq!(parsed, InitArgs::default());
    }

    #[test]
    fn arguments_say_the_same_as_the_values() {
        let check = |init: InitArgs, expected: &[&str]| {
            let args = init.to_args();
            assert_eq!(args, expected);
            assert_eq!(Command::try_parse_from(args).unwrap().init, init);
        };
        let first = [
            "init",
            "--proxy-uid=1337",
            "--outbound-port=15001",
            "--inbound-port=15006",
        ];
        check(InitArgs::default(), &first);
        check(
            InitArgs {
                dry_run: true,
                ..InitArgs::default()
            },
            &[&first[..], &["--dry-run"]].concat(),
        );
        check(
            InitArgs {
                include_inbound_ports: "".parse().unwrap(),
                include_outbound_ranges: "".parse().unwrap(),
                ..InitArgs::default()
            },
            &[
                &first[..],
                &["--include-inbound-ports=", "--include-outbound-ranges="],
            ]
            .concat(),
        );
        check(
            InitArgs {
                proxy_uid: 7,
                outbound_port: 1,
                inbound_port: 65535,
                include_inbound_ports: "90, 80,80".parse().unwrap(),
                exclude_inbound_ports: "22".parse().unwrap(),
                include_outbound_ports: "443,9443".parse().unwrap(),
                exclude_outbound_ports: "3306".parse().unwrap(),
                include_outbound_ranges: "fd00::1/8,10.1.2.3".parse().unwrap(),
                exclude_outbound_ranges: "*".parse().unwrap(),
                exclude_interfaces: "net1, br-0.7".parse().unwrap(),
                dry_run: false,
                verify: true,
                verify_seconds: 7,
            },
            &[
                "init",
                "--proxy-uid=7",
                "--outbound-port=1",
                "--inbound-port=65535",
                "--include-inbound-ports=80,90",
                "--exclude-inbound-ports=22",
                "--include-outbound-ports=443,9443",
                "--exclude-outbound-ports=3306",
                "--include-outbound-ranges=10.1.2.3/32,fd00::/8",
                "--exclude-outbound-ranges=*",
                "--exclude-interfaces=br-0.7,net1",
                "--verify",
                "--verify-seconds=7",
            ],
        );
    }
}
