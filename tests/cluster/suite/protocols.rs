//! Programs that others wrote, through two proxies: PostgreSQL, MariaDB, Redis, nginx and curl, gRPC, WebSockets, SMTP. Each
//! client fails by itself when something is not what it would be without a mesh.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::figures::{memory, resident};
use crate::kubectl::{Namespace, eventually};
use crate::scene::Scene;

pub(crate) static SCENE: Scene = Scene::new("protocols", PODS);

/// One pod has all the servers, the other the clients. Ports are declared as applications do: by name, by appProtocol, by
/// a well-known number, or not at all.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: servers, labels: { app: servers } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: postgres
      image: localhost/servers:1
      command: [bash, -c]
      args:
        - |
          initdb -D /tmp/db -U mesh --auth=trust --no-sync >/tmp/initdb.log &&
          echo 'host all all all trust' >>/tmp/db/pg_hba.conf &&
          exec postgres -D /tmp/db -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off \
            -c shared_memory_type=mmap -c dynamic_shared_memory_type=mmap
      readinessProbe: { periodSeconds: 1, exec: { command: [pg_isready, -h, 127.0.0.1] } }
    - name: mariadb
      image: localhost/servers:1
      command: [bash, -c]
      args:
        - |
          mariadb-install-db --no-defaults --datadir=/tmp/db --skip-test-db --force >/tmp/install.log &&
          exec mariadbd --no-defaults --datadir=/tmp/db --socket=/tmp/mariadb.sock --pid-file=/tmp/mariadb.pid \
            --skip-grant-tables --skip-name-resolve --innodb-buffer-pool-size=16M --innodb-use-native-aio=0 \
            --innodb-flush-log-at-trx-commit=0
      readinessProbe: { periodSeconds: 1, exec: { command: [mariadb, -h, 127.0.0.1, -e, select 1] } }
    - name: redis
      image: localhost/servers:1
      command: [redis-server, --protected-mode, "no", --save, "", --dir, /tmp]
    - name: nginx
      image: localhost/servers:1
      command: [bash, -c]
      args:
        - |
          mkdir -p /tmp/files && head -c 100000000 /dev/urandom >/tmp/files/large && echo small >/tmp/files/small &&
          openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=secret.example.org \
            -addext subjectAltName=DNS:secret.example.org -keyout /tmp/key.pem -out /tmp/cert.pem 2>/dev/null &&
          cat /tmp/cert.pem >>/tmp/key.pem && exec nginx
      readinessProbe: { periodSeconds: 1, httpGet: { port: 8080, path: /small } }
    - name: python
      image: localhost/servers:1
      command: [python3, /servers.py, serve]
      readinessProbe: { periodSeconds: 1, tcpSocket: { port: 9001 } }
---
apiVersion: v1
kind: Service
metadata: { name: servers }
spec:
  selector: { app: servers }
  ports:
    - { name: tcp-postgres, port: 5432 }
    - { name: mysql-data, port: 13306, targetPort: 3306 }
    - { name: redis, port: 6379 }
    - { name: http-web, port: 80, targetPort: 8080 }
    - { name: http-noted, port: 8084 }
    - { name: h2c, appProtocol: kubernetes.io/h2c, port: 8081 }
    - { name: https-web, port: 443, targetPort: 8443 }
    - { name: grpc-echo, port: 9000 }
    - { name: websocket, appProtocol: kubernetes.io/ws, port: 9001 }
    - { name: mail, port: 25, targetPort: 8025 }
    - { name: undeclared-mail, port: 2525, targetPort: 8025 }
    - { name: undeclared-web, port: 8080 }
    - { name: undeclared-postgres, port: 15432, targetPort: 5432 }
---
apiVersion: v1
kind: Service
metadata: { name: mysql }
spec:
  selector: { app: servers }
  ports: [{ port: 3306 }]
---
apiVersion: v1
kind: Pod
metadata: { name: client }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - { name: curl, image: localhost/servers:1, command: [sleep, infinity] }
"#;

/// The namespace, once its pods are ready.
pub(crate) fn ready() -> Result<&'static Namespace> {
    let namespace = SCENE.namespace()?;
    namespace.ready("servers")?;
    namespace.ready("client")?;
    Ok(namespace)
}

/// What a script prints that runs in the client's pod, and fails unless the proxies of both pods have carried it, the
/// client's as `carried`.
pub(crate) fn through(carried: &str, script: &str) -> Result<String> {
    let namespace = ready()?;
    let sent = format!("outrigger_connections_total{{direction=\"Outbound\",carried=\"{carried}\"}}");
    let count = || -> Result<(f64, f64)> {
        let metrics = namespace.metrics("client")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&sent));
        let outbound = line.map_or(Ok(0.0), |count| count.trim().parse())?;
        Ok((outbound, namespace.carried("servers", "Inbound")?))
    };
    let before = count()?;
    let script = format!("set -euo pipefail; {script}");
    let bash = ["exec", "client", "-c", "curl", "--", "bash", "-c", &script];
    let printed = namespace.kubectl(&bash)?;
    let after = count()?;
    ensure!(
        after.0 > before.0 && after.1 > before.1,
        "not carried by both proxies as {carried}: {before:?}, {after:?}"
    );
    Ok(printed)
}

pub(crate) fn say(what: &str) {
    for line in what.lines() {
        println!("    {line}");
    }
}

/// Transactions of eight clients, a mebibyte in one value, a table of 20 MB in and out, and a wait for a notice.
pub(crate) fn postgres() -> Result<()> {
    for (port, carried) in [(5432, "Tcp"), (15432, "Tcp")] {
        let printed = through(
            carried,
            &format!(
                r#"
export PGHOST=servers PGPORT={port} PGUSER=mesh PGDATABASE=postgres PGCONNECT_TIMEOUT=5
psql -Atqc "select length(repeat('x', 1048576))" | grep -qx 1048576
psql -qc 'drop table if exists numbers; create table numbers (n int)'
seq 3000000 | psql -qc 'copy numbers from stdin'
psql -Atqc 'copy numbers to stdout' | md5sum >/tmp/out; seq 3000000 | md5sum | cmp - /tmp/out
pgbench -iq -s 1 2>/dev/null
pgbench -c 8 -j 2 -t 100 | grep -E 'processed|failed'
"#
            ),
        )?;
        ensure!(
            printed.contains("800/800") && printed.contains("failed transactions: 0 "),
            "pgbench on port {port} says {printed}"
        );
        say(&format!("port {port}: {}", printed.replace('\n', ", ")));
    }
    Ok(())
}

/// A server that speaks first, by its port's name and by a number alone: nobody waits for the client to say something.
/// Transactions of eight clients, of which none is lost or done twice, and a mebibyte in one value, there and back.
pub(crate) fn mariadb() -> Result<()> {
    for (host, port) in [("servers", 13306), ("mysql", 3306)] {
        let printed = through(
            "Tcp",
            &format!(
                r#"
timeout 60 python3 /servers.py greeting {host}:{port}
export sql='mariadb --no-defaults -h {host} -P {port} --connect-timeout=5 -N'
$sql -e 'drop database if exists mesh; create database mesh; use mesh; create table accounts (id int primary key, sum int);
    create table transfers (client int, number int, primary key (client, number)); create table large (value longtext);
    insert into accounts values (1, 1000), (2, 1000)'
transfers() {{
    for number in {{1..100}}; do
        echo "start transaction; update accounts set sum = sum - 1 where id = 1; update accounts set sum = sum + 1 where id = 2;
            insert into transfers values ($1, $number); commit;"
    done
}}
clients=()
for client in {{1..8}}; do
    transfers $client | $sql mesh & clients+=($!)
done
for client in "${{clients[@]}}"; do wait $client; done
$sql mesh -e 'select sum from accounts order by id' | tr '
' ' ' | grep -qx '200 1800 '
$sql mesh -e 'select concat(count(*), " transactions of ", count(distinct client), " clients") from transfers'
openssl rand -hex 524288 | tr -d '
' >/tmp/value
{{ printf "insert into large values ('"; cat /tmp/value; printf "')"; }} | $sql mesh
$sql mesh -e 'select value from large' | tr -d '
' | cmp - /tmp/value
"#
            ),
        )?;
        ensure!(
            printed.contains("800 transactions of 8 clients"),
            "{host}:{port} says {printed}"
        );
        say(&format!(
            "{host}:{port}: {}, and a value of 1 MiB",
            printed.trim_end().replace('\n', ", ")
        ));
    }
    Ok(())
}

/// Pipelined commands of 50 connections, a value of 8 MiB, and a subscription that waits for its message.
pub(crate) fn redis() -> Result<()> {
    let printed = through(
        "Tcp",
        r#"
redis-cli -h servers ping | grep -qx PONG
head -c 8388608 /dev/zero | tr '\0' x | redis-cli -h servers -x set large | grep -qx OK
redis-cli -h servers strlen large | grep -qx 8388608
redis-cli -h servers get large | wc -c | grep -qx 8388609
timeout 10 redis-cli -h servers subscribe news >/tmp/news & subscriber=$!
until redis-cli -h servers publish news hello | grep -qx 1; do :; done
until grep -q hello /tmp/news; do :; done
kill $subscriber
redis-benchmark -h servers -n 20000 -c 50 -P 16 -t set,get -q | tr '\r' '\n' | grep 'requests per second'
"#,
    )?;
    say(&printed);
    Ok(())
}

/// curl and nginx, in every version of HTTP that both speak.
pub(crate) fn web() -> Result<()> {
    let http = |script: &str| through("Http", &format!("export CURL='curl -sS -m 30'; {script}"));
    let seen = http(
        r#"
$CURL http://servers/seen
$CURL -0 http://servers/seen
$CURL -X OPTIONS -H 'x-case: Kept As It Is' 'http://servers/seen?a=%2F&b=//x/../y&c'
$CURL --path-as-is 'http://servers//seen' -o /dev/null -w '%{http_code}\n'
$CURL --http2-prior-knowledge http://servers:8081/seen
$CURL --http2 http://servers/seen
"#,
    )?;
    let expected = [
        "GET /seen HTTP/1.1 servers ",
        "GET /seen HTTP/1.0 servers ",
        "OPTIONS /seen?a=%2F&b=//x/../y&c HTTP/1.1 servers Kept As It Is",
        "200",
        "GET /seen HTTP/2.0 servers:8081 ",
        "GET /seen HTTP/1.1 servers ",
    ];
    let lines: Vec<_> = seen.lines().collect();
    ensure!(lines == expected, "nginx saw\n{seen}");
    http(
        r#"
[ "$($CURL -I -o /dev/null -w '%{http_code} %{size_download}' http://servers/large)" = '200 0' ]
$CURL -I http://servers/large | grep -i '^content-length: 100000000'
[ "$($CURL -r 10-19 http://servers/large | wc -c)" = 10 ]
[ "$($CURL http://servers/small http://servers/small http://servers/small)" = "$(printf 'small\nsmall\nsmall')" ]
[ "$($CURL -o /dev/null -w '%{http_code}' http://servers/nothing)" = 404 ]
for port in 80 8080; do
    $CURL -o /tmp/large http://servers:$port/large
    [ "$(stat -c %s /tmp/large)" = 100000000 ]
    [ "$($CURL -T /tmp/large -H 'Expect: 100-continue' http://servers:$port/upload)" = 100000000 ]
    [ "$(cat /tmp/large | $CURL -T - -H 'Transfer-Encoding: chunked' http://servers:$port/upload)" = 100000000 ]
done
$CURL --http2-prior-knowledge -o /tmp/again http://servers:8081/large
cmp /tmp/large /tmp/again
[ "$($CURL --http2-prior-knowledge -T /tmp/large http://servers:8081/upload)" = 100000000 ]
$CURL --parallel --parallel-max 50 'http://servers/small?[1-2000]' -o /dev/null -w '%{http_code}\n' 2>/dev/null |
    sort | uniq -c | grep -qx ' *2000 200'
"#,
    )?;
    say("100 MB down and up by length, chunked and HTTP/2; 2,000 requests on 50 connections");
    Ok(())
}

/// What nginx encrypts stays as it is, and its certificate is the one that curl sees.
pub(crate) fn tls() -> Result<()> {
    let namespace = ready()?;
    let certificate = namespace.kubectl(&["exec", "servers", "-c", "nginx", "--", "cat", "/tmp/cert.pem"])?;
    let connect = "--connect-to secret.example.org:443:servers:443";
    let printed = through(
        "Tcp",
        &format!(
            "cat >/tmp/cert.pem <<'EOF'\n{certificate}\nEOF\n
curl -sS -m 20 --cacert /tmp/cert.pem {connect} https://secret.example.org/seen
curl -sS -m 20 --http1.1 --cacert /tmp/cert.pem {connect} https://secret.example.org/seen
curl -sS -m 20 --cacert /tmp/cert.pem {connect} https://secret.example.org/large | wc -c"
        ),
    )?;
    ensure!(
        printed.lines().map(str::trim_end).eq([
            "GET /seen HTTP/2.0 secret.example.org",
            "GET /seen HTTP/1.1 secret.example.org",
            "100000000",
        ]),
        "over TLS: {printed}"
    );
    Ok(())
}

/// All four kinds of calls, trailers, messages of 4 MiB, a deadline and what the server hears of it.
pub(crate) fn grpc() -> Result<()> {
    say(&through(
        "Http",
        "timeout 60 python3 /servers.py grpc servers:9000",
    )?);
    Ok(())
}

/// Frames in both directions, large ones among them.
pub(crate) fn websocket() -> Result<()> {
    say(&through(
        "Http",
        "timeout 60 python3 /servers.py websocket servers:9001",
    )?);
    Ok(())
}

/// A server that speaks first, on the port that is known for it and on one that says nothing.
pub(crate) fn mail() -> Result<()> {
    for port in [25, 2525] {
        let printed = through(
            "Tcp",
            &format!("timeout 60 python3 /servers.py smtp servers:{port}"),
        )?;
        say(&format!("port {port}: {printed}"));
    }
    Ok(())
}

/// Memory of the proxies while 400 MB go slowly: what the reader does not take is not read from the server.
pub(crate) fn back_pressure() -> Result<()> {
    let namespace = ready()?;
    let readers = "for reader in 1 2 3 4; do curl -sS --limit-rate 200k -m 25 -o /tmp/read-$reader http://servers/large & done; wait || true";
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| namespace.shell("client", readers));
        eventually("all four read", Duration::from_secs(20), || {
            let reads = "wc -c /tmp/read-1 /tmp/read-2 /tmp/read-3 /tmp/read-4 | grep -c '[0-9]\\{6,\\} /tmp' || true";
            Ok(namespace.shell("client", reads)?.trim() == "4")
        })?;
        for pod in ["client", "servers"] {
            let memory = memory(namespace, pod, "outrigger-proxy")?;
            say(&format!("{pod}: {memory}"));
            ensure!(!reading.is_finished(), "the readers ended too early to tell");
            ensure!(
                resident(&memory)? < 48 * 1024,
                "the proxy of {pod} keeps what nobody reads: {memory}"
            );
        }
        Ok(())
    })
}
