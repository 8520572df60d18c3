//! Servers that are connected to inside TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;

use database::{Cluster, Engine, Session, Splitter, mysql_is_here};
use std::time::Duration;
use stoa_model::routes::DATABASE_CERTIFICATE;
use stoa_traffic::sql::role::Settings;

/// A certificate and its key, in PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([DATABASE_CERTIFICATE.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn encrypts(engine: Engine) {
    let (shown, key) = certificate();
    let mut cluster = Cluster::encrypted(engine, [&shown, &key]);
    let mut splitter = Splitter::trusting(Settings::default(), &shown);
    splitter.routes(1, Some(cluster.primary()), &[cluster.replica()]);
    let mut client = splitter.connect();
    let cipher = |client: &mut Session, hint: &str| {
        client.rows::<(String, String)>(&format!("{hint}SHOW SESSION STATUS LIKE 'Ssl_cipher'")).remove(0).1
    };
    for hint in ["/* stoa:primary */ ", "/* stoa:replica */ "] {
        assert_ne!(cipher(&mut client, hint), "", "{hint}");
    }
    // Both ways more than a packet, a record and every buffer hold.
    client.exec("CREATE TABLE big (id INT PRIMARY KEY, body LONGBLOB)");
    client.exec(&format!("INSERT INTO big VALUES (1, '{}')", "x".repeat(3 << 20)));
    let rows: Vec<(u32, String)> =
        client.rows("SELECT big.id, body FROM big JOIN (SELECT 1 UNION ALL SELECT 2) AS two");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|(id, body)| *id == 1 && body.len() == 3 << 20));
    let mut others: Vec<_> = (0..8).map(|_| splitter.connect()).collect();
    for (at, other) in others.iter_mut().enumerate() {
        assert_eq!(other.one::<usize>(&format!("SELECT {at}")), at);
    }
    drop((client, others, splitter));

    // Whoever shows another certificate is sent no password and no statement, nor is who shows none.
    let hold = Duration::from_millis(500);
    let settings = || Settings { hold, login: 2 * hold, ..Settings::default() };
    for authority in [&certificate().0, ""] {
        let mut splitter = Splitter::trusting(settings(), authority);
        splitter.send_routes(1, Some(cluster.primary()), &[]);
        assert!(is_refused(&splitter));
    }
    // Only its route says still that it encrypts; MySQL's does, with a certificate of its own.
    let [primary, _] = &mut cluster.servers;
    let tls = primary.tls.take();
    primary.kill();
    primary.start();
    primary.tls = tls;
    let mut splitter = Splitter::trusting(settings(), &shown);
    splitter.send_routes(1, Some(cluster.primary()), &[]);
    assert!(is_refused(&splitter));
}

/// Whether a client gets no answer to a statement.
fn is_refused(splitter: &Splitter) -> bool {
    Session::open(splitter.options()).map_or(true, |mut client| client.try_exec("SELECT 1").is_err())
}

#[test]
fn mariadb_is_connected_to_inside_tls_where_its_route_says_so() {
    encrypts(Engine::Mariadb);
}

#[test]
fn mysql_is_connected_to_inside_tls_where_its_route_says_so() {
    if mysql_is_here() {
        encrypts(Engine::Mysql);
    }
}
