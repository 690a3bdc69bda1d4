//! The requests of proxy/tests/testdata to nginx, directly and through two proxies: what nginx takes for requests then is what the
//! table says, and what it would have refused or read in another way never arrives as a second request.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::protocols::{ready, say, through};

const TABLE: &str = include_str!("../../../proxy/tests/testdata/requests.md");
/// What ends each connection, if it is still there.
const END: &str = "GET /end";

/// By the file: the requests that nginx has answered, as "METHOD TARGET".
type Seen = BTreeMap<String, Vec<String>>;

pub(crate) fn nginx() -> Result<()> {
    let namespace = ready()?;
    let directly = [
        "exec",
        "servers",
        "-c",
        "nginx",
        "--",
        "python3",
        "/servers.py",
        "requests",
        "127.0.0.1:8084",
        "direct",
    ];
    namespace.kubectl(&directly)?;
    through(
        "Http",
        "timeout 300 python3 /servers.py requests servers:8084 mesh",
    )?;
    let log = namespace.kubectl(&["exec", "servers", "-c", "nginx", "--", "cat", "/tmp/seen"])?;
    let direct = seen(&log, "direct")?;
    let mesh = seen(&log, "mesh")?;
    let (mut same, mut refused, mut read) = (0, 0, 0);
    let mut whole = 0;
    for (file, forwarded) in table() {
        let of = |seen: &Seen| {
            seen.get(&file)
                .cloned()
                .with_context(|| format!("{file} was not sent"))
        };
        let (direct, mesh) = (of(&direct)?, of(&mesh)?);
        let Some(forwarded) = forwarded else {
            continue;
        };
        whole += 1;
        let mut rest = forwarded.iter();
        ensure!(
            mesh.iter().all(|one| rest.any(|other| other == one)),
            "{file}: nginx saw {mesh:?}, and the table has {forwarded:?}"
        );
        let payload = mesh.iter().filter(|one| *one != END).count();
        match &mesh {
            _ if mesh == direct => same += 1,
            _ if direct.starts_with(&mesh) => refused += 1,
            _ => {
                ensure!(
                    payload <= 1,
                    "{file}: directly nginx saw {direct:?}, through the mesh {mesh:?}"
                );
                read += 1;
            }
        }
    }
    say(&format!(
        "{whole} files: {same} the same, {refused} refused by the mesh, {read} that nginx alone refuses or cuts"
    ));
    Ok(())
}

/// What nginx saw after each mark of a run, by the file that the mark names.
fn seen(log: &str, run: &str) -> Result<Seen> {
    let (mut seen, mut current) = (Seen::new(), None);
    for line in log.lines() {
        let (status, request) = line.split_once(' ').context("a line of nginx's")?;
        if let Some(mark) = request.strip_prefix("GET /mark/") {
            let (of, file) = mark.split_once('/').context("a mark")?;
            current = (of == run).then(|| file.to_owned());
            if let Some(file) = &current {
                seen.insert(file.clone(), Vec::new());
            }
        } else if let Some(file) = &current
            && status == "200"
        {
            seen.entry(file.clone()).or_default().push(request.to_owned());
        }
    }
    Ok(seen)
}

/// The files, and the requests that the proxy forwards of each; `None` for those that are never whole.
fn table() -> impl Iterator<Item = (String, Option<Vec<String>>)> {
    TABLE.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| `")?
            .trim_end_matches('|')
            .split(" | ")
            .collect();
        let requests = cells.get(4)?.split('`').skip(1).step_by(2);
        let mut requests: Vec<String> = requests
            .map(|request| {
                request
                    .split(' ')
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace("\\\\", "\\")
            })
            .collect();
        if cells[2] == "stays" {
            requests.push(END.to_owned());
        }
        let file = cells[0].trim_end_matches('`').to_owned();
        Some((file, (cells[2] != "waits").then_some(requests)))
    })
}
