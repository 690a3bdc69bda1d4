//! The nat table's rules for [`InitArgs`], as text for `iptables-restore --noflush`. Pure; `backend` applies it.

use std::fmt::{self, Display};

use ipnet::IpNet;

use super::args::InitArgs;
use super::capture::{InboundPorts, Ports, Ranges};

/// Ports on which the proxy itself answers from outside the pod: metrics and probes, readiness.
const OWN_PORTS: [u16; 2] = [15020, 15021];

const INBOUND: &str = "OUTRIGGER_INBOUND";
const IN_REDIRECT: &str = "OUTRIGGER_IN_REDIRECT";
const OUTPUT: &str = "OUTRIGGER_OUTPUT";
const REDIRECT: &str = "OUTRIGGER_REDIRECT";

/// Our chains in the nat table.
pub(super) const CHAINS: [&str; 4] = [INBOUND, IN_REDIRECT, OUTPUT, REDIRECT];

/// An address family, each with its own iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4: `iptables`.
    V4,
    /// IPv6: `ip6tables`.
    V6,
}

impl Family {
    /// What the names of this family's programs begin with.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    fn holds(self, range: &IpNet) -> bool {
        match range {
            IpNet::V4(_) => self == Self::V4,
            IpNet::V6(_) => self == Self::V6,
        }
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The rules of one family, in order and in the form in which `iptables-save` prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) family: Family,
    /// Rules of our own chains.
    own: Vec<String>,
    /// Rules of the built-in chains that lead to ours.
    jumps: [String; 2],
}

impl Rules {
    /// What excludes is asked before what includes, in Istio's order: interfaces, ports, ranges.
    pub(super) fn new(args: &InitArgs, family: Family) -> Self {
        let mut own = Vec::new();
        for interface in args.exclude_interfaces.names() {
            own.push(format!("-A {INBOUND} -i {interface} -j RETURN"));
        }
        let mut straight = Ports(OWN_PORTS.into());
        // Istio: a list of what is redirected leaves nothing to exclude.
        if args.include_inbound_ports == InboundPorts::All {
            straight.0.extend(&args.exclude_inbound_ports.0);
        }
        own.extend(to_ports(&straight, INBOUND, "RETURN"));
        match &args.include_inbound_ports {
            InboundPorts::All => own.push(format!("-A {INBOUND} -p tcp -j {IN_REDIRECT}")),
            InboundPorts::Only(ports) => own.extend(to_ports(ports, INBOUND, IN_REDIRECT)),
        }
        own.push(format!(
            "-A {IN_REDIRECT} -p tcp -j REDIRECT --to-ports {}",
            args.inbound_port
        ));

        for interface in args.exclude_interfaces.names() {
            own.push(format!("-A {OUTPUT} -o {interface} -j RETURN"));
        }
        // Also over lo to the pod's own address: a proxy that picks its own pod talks straight to the app.
        own.push(format!(
            "-A {OUTPUT} -m owner --uid-owner {} -j RETURN",
            args.proxy_uid
        ));
        own.push(format!(
            "-A {OUTPUT} -m owner --gid-owner {} -j RETURN",
            args.proxy_uid
        ));
        // Loopback and the pod's own address. A Service's address is not routed over lo, also if this pod is behind it.
        own.push(format!("-A {OUTPUT} -o lo -j RETURN"));
        own.extend(to_ports(&args.exclude_outbound_ports, OUTPUT, "RETURN"));
        own.extend(to_ranges(&args.exclude_outbound_ranges, family, "RETURN"));
        own.extend(to_ports(&args.include_outbound_ports, OUTPUT, REDIRECT));
        own.extend(to_ranges(&args.include_outbound_ranges, family, REDIRECT));
        own.push(format!(
            "-A {REDIRECT} -p tcp -j REDIRECT --to-ports {}",
            args.outbound_port
        ));

        let jumps = [
            format!("-A PREROUTING -p tcp -j {INBOUND}"),
            format!("-A OUTPUT -p tcp -j {OUTPUT}"),
        ];
        Self { family, own, jumps }
    }

    /// The text for one `iptables-restore --noflush`: one transaction, whatever was there before.
    ///
    /// Naming a chain makes it, or empties it if it is there. The built-in chains are not ours to empty, so the jumps
    /// of an earlier run, `existing`, are deleted one by one before ours are added.
    pub(super) fn text(&self, existing: &[String]) -> String {
        let mut text = String::from("*nat\n");
        for chain in CHAINS {
            text += &format!(":{chain} - [0:0]\n");
        }
        for jump in existing {
            text += &format!("{}\n", jump.replacen("-A", "-D", 1));
        }
        for rule in self.all() {
            text += &format!("{rule}\n");
        }
        text + "COMMIT\n"
    }

    /// Every rule that must be there afterwards, in the order within its chain.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.own.iter().chain(&self.jumps).map(String::as_str)
    }
}

/// Rules of `chain` that send what goes to `ports` to `target`.
fn to_ports(ports: &Ports, chain: &str, target: &str) -> impl Iterator<Item = String> {
    ports
        .0
        .iter()
        .map(move |port| format!("-A {chain} -p tcp -m tcp --dport {port} -j {target}"))
}

/// Rules that send what goes to `ranges` to `target`.
fn to_ranges(ranges: &Ranges, family: Family, target: &str) -> Vec<String> {
    let every = format!("-A {OUTPUT} -p tcp -j {target}");
    match ranges {
        Ranges::All => vec![every],
        Ranges::Only(ranges) => ranges
            .iter()
            .filter(|range| family.holds(range))
            .map(|range| match range.prefix_len() {
                0 => every.clone(),
                _ => format!("-A {OUTPUT} -d {range} -p tcp -j {target}"),
            })
            .collect(),
    }
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

    fn rules(flags: &[&str], family: Family) -> Rules {
        let command = Command::parse_from([&["init"], flags].concat());
        Rules::new(&command.init, family)
    }

    const DEFAULT: &str = "\
*nat
:OUTRIGGER_INBOUND - [0:0]
:OUTRIGGER_IN_REDIRECT - [0:0]
:OUTRIGGER_OUTPUT - [0:0]
:OUTRIGGER_REDIRECT - [0:0]
-A OUTRIGGER_INBOUND -p tcp -m tcp --dport 15020 -j RETURN
-A OUTRIGGER_INBOUND -p tcp -m tcp --dport 15021 -j RETURN
-A OUTRIGGER_INBOUND -p tcp -j OUTRIGGER_IN_REDIRECT
-A OUTRIGGER_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A OUTRIGGER_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A OUTRIGGER_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A OUTRIGGER_OUTPUT -o lo -j RETURN
-A OUTRIGGER_OUTPUT -p tcp -j OUTRIGGER_REDIRECT
-A OUTRIGGER_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A PREROUTING -p tcp -j OUTRIGGER_INBOUND
-A OUTPUT -p tcp -j OUTRIGGER_OUTPUT
COMMIT
";

    #[test]
    fn without_flags_both_families_capture_everything() {
        assert_eq!(rules(&[], Family::V4).text(&[]), DEFAULT);
        assert_eq!(rules(&[], Family::V6).text(&[]), DEFAULT);
    }

    #[test]
    fn jumps_of_an_earlier_run_are_replaced_in_the_same_transaction() {
        let existing = vec!["-A PREROUTING -p tcp -j OUTRIGGER_INBOUND".to_owned(); 2];
        let expected = DEFAULT.replacen(
            "-A OUTRIGGER_INBOUND",
            "-D PREROUTING -p tcp -j OUTRIGGER_INBOUND\n\
             -D PREROUTING -p tcp -j OUTRIGGER_INBOUND\n\
             -A OUTRIGGER_INBOUND",
            1,
        );
        assert_eq!(rules(&[], Family::V4).text(&existing), expected);
    }

    #[test]
    fn flags_shape_the_rules() {
        let check = |flags: &[&str], family, chain: &str, expected: &[&str]| {
            let rules = rules(flags, family);
            let prefix = format!("-A {chain} ");
            let found: Vec<_> = rules
                .all()
                .filter_map(|rule| rule.strip_prefix(&prefix))
                .collect();
            assert_eq!(found, expected, "{flags:?} {family}");
        };
        let owner = |uid| {
            [
                format!("-m owner --uid-owner {uid} -j RETURN"),
                format!("-m owner --gid-owner {uid} -j RETURN"),
            ]
        };
        let [uid, gid] = &owner(1337);
        let lo = "-o lo -j RETURN";

        check(
            &["--exclude-inbound-ports", "9090,15021,22"],
            Family::V4,
            INBOUND,
            &[
                "-p tcp -m tcp --dport 22 -j RETURN",
                "-p tcp -m tcp --dport 9090 -j RETURN",
                "-p tcp -m tcp --dport 15020 -j RETURN",
                "-p tcp -m tcp --dport 15021 -j RETURN",
                "-p tcp -j OUTRIGGER_IN_REDIRECT",
            ],
        );
        let own = [15020, 15021].map(|port| format!("-p tcp -m tcp --dport {port} -j RETURN"));
        check(
            &[
                "--include-inbound-ports=8080,80,15021",
                "--exclude-inbound-ports=80,22",
            ],
            Family::V4,
            INBOUND,
            &[
                &own[0],
                &own[1],
                "-p tcp -m tcp --dport 80 -j OUTRIGGER_IN_REDIRECT",
                "-p tcp -m tcp --dport 8080 -j OUTRIGGER_IN_REDIRECT",
                "-p tcp -m tcp --dport 15021 -j OUTRIGGER_IN_REDIRECT",
            ],
        );
        check(
            &["--include-inbound-ports=", "--exclude-interfaces=net2,net1"],
            Family::V6,
            INBOUND,
            &["-i net1 -j RETURN", "-i net2 -j RETURN", &own[0], &own[1]],
        );
        check(
            &["--inbound-port", "2"],
            Family::V6,
            IN_REDIRECT,
            &["-p tcp -j REDIRECT --to-ports 2"],
        );
        check(
            &["--outbound-port", "3"],
            Family::V6,
            REDIRECT,
            &["-p tcp -j REDIRECT --to-ports 3"],
        );
        let [other_uid, other_gid] = &owner(7);
        check(
            &["--proxy-uid", "7"],
            Family::V4,
            OUTPUT,
            &[other_uid, other_gid, lo, "-p tcp -j OUTRIGGER_REDIRECT"],
        );

        let ranges = [
            "--exclude-outbound-ports=5432",
            "--exclude-outbound-ranges=10.9.0.0/16,fd00:9::/32",
            "--include-outbound-ranges=10.0.0.0/8,fd00::/8",
        ];
        let port = "-p tcp -m tcp --dport 5432 -j RETURN";
        let v4 = [
            "-d 10.9.0.0/16 -p tcp -j RETURN",
            "-d 10.0.0.0/8 -p tcp -j OUTRIGGER_REDIRECT",
        ];
        let v6 = [
            "-d fd00:9::/32 -p tcp -j RETURN",
            "-d fd00::/8 -p tcp -j OUTRIGGER_REDIRECT",
        ];
        check(&ranges, Family::V4, OUTPUT, &[uid, gid, lo, port, v4[0], v4[1]]);
        check(&ranges, Family::V6, OUTPUT, &[uid, gid, lo, port, v6[0], v6[1]]);

        check(
            &[
                "--exclude-interfaces=net1",
                "--exclude-outbound-ports=5432",
                "--exclude-outbound-ranges=10.9.0.0/16",
                "--include-outbound-ports=443,8443",
                "--include-outbound-ranges=10.0.0.0/8",
            ],
            Family::V4,
            OUTPUT,
            &[
                "-o net1 -j RETURN",
                uid,
                gid,
                lo,
                port,
                v4[0],
                "-p tcp -m tcp --dport 443 -j OUTRIGGER_REDIRECT",
                "-p tcp -m tcp --dport 8443 -j OUTRIGGER_REDIRECT",
                v4[1],
            ],
        );

        // Istio's empty includeOutboundIPRanges: nothing is redirected.
        check(
            &["--include-outbound-ranges", ""],
            Family::V4,
            OUTPUT,
            &[uid, gid, lo],
        );
        check(
            &["--include-outbound-ranges", "10.0.0.0/8"],
            Family::V6,
            OUTPUT,
            &[uid, gid, lo],
        );
        let all = ["--include-outbound-ranges", "0.0.0.0/0"];
        check(
            &all,
            Family::V4,
            OUTPUT,
            &[uid, gid, lo, "-p tcp -j OUTRIGGER_REDIRECT"],
        );
    }
}
