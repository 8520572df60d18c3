//! The `mariadb` shell, logged in by us in every way it knows: plain, inside TLS, compressed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/mariadb.rs"]
mod mariadb;
#[path = "common/sql_relay.rs"]
mod sql_relay;

use mariadb::Mariadb;
use sql_relay::Relay;
use std::process::Stdio;
use stoa_traffic::sql::wire::auth::Plugin;
use tokio::process::Command;

const ACCOUNT: &str = "CREATE DATABASE shop;\n\
    CREATE USER app@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('pa ss');\n\
    GRANT ALL ON *.* TO app@'%';\n";

const SCRIPT: &str = "SELECT 'hello', NULL; CREATE TEMPORARY TABLE shop.t (a INT, b TEXT);
    LOAD DATA LOCAL INFILE 'PATH' INTO TABLE shop.t; SELECT a, b FROM shop.t ORDER BY a;
    INSERT INTO shop.t VALUES (3, 'three') RETURNING a; SELECT LENGTH(REPEAT('x', 20000000));
    SELECT SUM(seq) FROM shop.seq_1_to_10000; USE shop; SELECT DATABASE();";

const SAID: &str = "hello\tNULL\n1\tone\n2\ttwo\n3\n20000000\n50005000\nshop\n";

#[tokio::test]
async fn the_shell_is_understood_in_every_way() {
    let server = Mariadb::start(ACCOUNT);
    let file = server.folder().join("rows");
    std::fs::write(&file, "1\tone\n2\ttwo\n").unwrap();
    let script = SCRIPT.replace("PATH", file.to_str().unwrap());
    for plugin in [Plugin::Native, Plugin::CachingSha2] {
        let relay = Relay { server: server.socket(), user: "app", password: "pa ss", plugin };
        let address = relay.listen().await;
        let port = format!("--port={}", address.port());
        let ways: [&[&str]; 7] = [
            &["--skip-ssl"],
            &["--ssl"],
            &["--skip-ssl", "--compress"],
            &["--ssl", "--compress"],
            &["--ssl", "--default-auth=client_ed25519"],
            &["--skip-ssl", "--default-auth=caching_sha2_password"],
            &["--skip-ssl", "--default-auth=mysql_native_password"],
        ];
        for way in ways {
            let run = async |password: &str| {
                let mut shell = Command::new("/usr/bin/mariadb");
                shell.args([
                    "--no-defaults",
                    "--protocol=tcp",
                    "--host=127.0.0.1",
                    "--user=app",
                    "--local-infile=1",
                ]);
                shell.args(["--batch", "--skip-column-names", "--max-allowed-packet=64M", &port]).args(way);
                shell
                    .args(["-e", &script])
                    .env("MYSQL_PWD", password)
                    .stdin(Stdio::null())
                    .kill_on_drop(true);
                shell.output().await.unwrap()
            };
            let right = run("pa ss").await;
            let complaint = String::from_utf8_lossy(&right.stderr);
            assert_eq!(String::from_utf8_lossy(&right.stdout), SAID, "{plugin:?} {way:?}: {complaint}");
            assert!(right.status.success(), "{plugin:?} {way:?}: {complaint}");
            let wrong = run("pass").await;
            assert!(
                String::from_utf8_lossy(&wrong.stderr).contains("1045 (28000)"),
                "{plugin:?} {way:?}: {wrong:?}"
            );
        }
    }
}
