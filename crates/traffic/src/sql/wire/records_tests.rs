use super::*;
use crate::sql::wire::stream::{Plain, Socket, Stream};
use crate::sql::wire::tls::{Acceptor, Connector};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::{SupportedCipherSuite, version};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const SUITES: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// Both ends of a connection inside TLS, each of which has heard the other.
async fn connected((acceptor, connector): (Acceptor, Connector)) -> (Stream, Stream) {
    let (client, server) = UnixStream::pair().unwrap();
    let plain = |socket| Plain::from(Socket::Unix(socket));
    let (accepted, connected) = tokio::join!(
        acceptor.accept(plain(server), Vec::new()),
        connector.connect(plain(client), "localhost")
    );
    let (mut server, mut client) = (accepted.unwrap(), connected.unwrap());
    say(&mut client, &mut server, 10).await;
    say(&mut server, &mut client, 10).await;
    (client, server)
}

async fn say<A: AsyncWrite + Unpin, B: AsyncRead + Unpin>(from: &mut A, to: &mut B, length: usize) {
    let said: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
    let mut heard = vec![0; length];
    let both = async {
        tokio::join!(
            async {
                from.write_all(&said).await.unwrap();
                from.flush().await.unwrap();
            },
            async { to.read_exact(&mut heard).await.unwrap() }
        )
    };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is heard in time");
    assert!(heard == said, "{length} bytes");
}

fn resumed(stream: Stream) -> Records<UnixStream> {
    let (Socket::Unix(socket), secrets) = stream.take_apart().expect("it can be taken apart") else {
        panic!("it is no Unix socket");
    };
    // As it travels.
    let secrets = serde_json::from_str(&serde_json::to_string(&secrets).unwrap()).unwrap();
    Records::new(socket, secrets).unwrap()
}

#[tokio::test]
async fn a_client_goes_on_with_whoever_has_its_keys() {
    for suite in SUITES {
        let (mut client, server) = connected(Acceptor::with_connector(suite, &version::TLS13)).await;
        let mut records = resumed(server);
        for length in [1, 100, PLAIN_MAX, PLAIN_MAX + 1, 300_000] {
            say(&mut client, &mut records, length).await;
            say(&mut records, &mut client, length).await;
            let (socket, secrets) = records.take_apart().expect("nothing is under way");
            records = Records::new(socket, secrets).unwrap();
        }
        records.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "a clean end");
        client.shutdown().await.unwrap();
        assert_eq!(records.read(&mut [0; 8]).await.unwrap(), 0, "a clean end");
    }
}

#[tokio::test]
async fn what_is_older_than_tls_1_3_is_not_passed_on() {
    let suite = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let (_client, server) = connected(Acceptor::with_connector(suite, &version::TLS12)).await;
    assert!(server.take_apart().is_none());
}

#[tokio::test]
async fn what_is_half_said_is_not_passed_on() {
    let (mut client, server) = connected(Acceptor::with_connector(SUITES[0], &version::TLS13)).await;
    let mut records = resumed(server);
    say(&mut client, &mut records, 10).await;
    client.write_all(b"0123456789").await.unwrap();
    client.flush().await.unwrap();
    records.read_exact(&mut [0; 4]).await.unwrap();
    assert!(records.take_apart().is_none());
}

#[tokio::test]
async fn whatever_is_no_record_of_this_connection_ends_it() {
    let wrong: [(&str, &[u8]); 5] = [
        ("another type", &[22, 3, 3, 0, 1, 0]),
        ("too long", &[23, 3, 3, 0xFF, 0xFF]),
        ("too short for a tag", &[23, 3, 3, 0, 1, 0]),
        ("nothing in it", &[23, 3, 3, 0, 0]),
        (
            "sealed by nobody",
            &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
        ),
    ];
    for (what, bytes) in wrong {
        let (_client, server) = connected(Acceptor::with_connector(SUITES[1], &version::TLS13)).await;
        let (_, secrets) = server.take_apart().unwrap();
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let mut records = Records::new(ours, secrets).unwrap();
        theirs.write_all(bytes).await.unwrap();
        let error = records.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
    }
}

#[tokio::test]
async fn keys_are_not_used_for_ever() {
    let (mut client, server) = connected(Acceptor::with_connector(SUITES[0], &version::TLS13)).await;
    let (Socket::Unix(socket), mut secrets) = server.take_apart().unwrap() else { panic!("no Unix socket") };
    secrets.sent.records = RECORDS_MAX;
    let mut records = Records::new(socket, secrets).unwrap();
    say(&mut client, &mut records, 10).await;
    records.write_all(b"one too many").await.unwrap_err();
}

proptest::proptest! {
    #[test]
    fn what_is_sealed_is_opened_however_it_is_cut_and_nothing_else_is(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40_000),
        cuts in proptest::collection::vec(0_usize..40_000, 0..6),
    ) {
        use crate::sql::wire::proving::records;
        assert_eq!(records(&bytes, &cuts), records(&bytes, &[]));
    }
}
