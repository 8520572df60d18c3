use super::super::proving::followed;
use super::*;

const MODERN: Capabilities =
    Capabilities::PROTOCOL_41.union(Capabilities::DEPRECATE_EOF).union(Capabilities::SESSION_TRACK);
const CLASSIC: Capabilities = Capabilities::PROTOCOL_41;
const QUERIES: Reply = Reply::Results { local_infile: true };

type Payloads = Vec<&'static [u8]>;

/// Packets of these payloads, numbered from `first`.
fn packets(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let (mut out, mut sequence) = (Vec::new(), first);
    for payload in payloads {
        sequence = super::super::packet::put(&mut out, sequence, payload);
    }
    out
}

/// What a client gets, whole and byte by byte, and what came of it.
fn client_gets(
    client: Capabilities,
    backend: Capabilities,
    reply: Reply,
    bytes: &[u8],
) -> (Vec<u8>, Outcome) {
    let every: Vec<usize> = (0..bytes.len()).collect();
    let [whole, split] = [&[][..], &every[..]].map(|cuts| {
        let mut follower = Follower::new(client);
        follower.begin(reply, 1, backend);
        let sent = followed(&mut follower, bytes, cuts).unwrap();
        assert!(follower.is_done());
        (sent, follower.outcome().clone())
    });
    assert_eq!(whole, split, "in other pieces");
    whole
}

fn refused(reply: Reply, bytes: &[u8]) -> String {
    let mut follower = Follower::new(CLASSIC);
    follower.begin(reply, 1, CLASSIC);
    followed(&mut follower, bytes, &[]).unwrap_err()
}

const OK: &[u8] = &[0, 1, 2, 2, 0, 3, 0];
const EOF: &[u8] = &[0xFE, 0, 0, 2, 0];
const END: &[u8] = &[0xFE, 0, 0, 2, 0, 0, 0];
const COLUMN: &[u8] = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";

#[test]
fn what_both_sides_speak_passes_as_it_is() {
    let text = "SELECT 1 as the protocol's documentation shows it";
    let cases: [(&str, Capabilities, Reply, Vec<u8>); 12] = [
        (text, CLASSIC, QUERIES, packets(1, &[b"\x01", COLUMN, EOF, b"\x011", EOF])),
        ("without EOF", MODERN, QUERIES, packets(1, &[b"\x01", COLUMN, b"\x011", END])),
        ("no rows", MODERN, QUERIES, packets(1, &[b"\x02", COLUMN, COLUMN, END])),
        ("NULL first", MODERN, QUERIES, packets(1, &[b"\x01", COLUMN, b"\xFB", END])),
        ("OK", CLASSIC, QUERIES, packets(1, &[OK])),
        ("an error", CLASSIC, QUERIES, packets(1, &[b"\xFF\x48\x04#HY000No tables used"])),
        (
            "an error among rows",
            CLASSIC,
            QUERIES,
            packets(1, &[b"\x01", COLUMN, EOF, b"\x011", b"\xFF\x25\x05#70100x"]),
        ),
        ("progress before OK", CLASSIC, QUERIES, packets(1, &[b"\xFF\xFF\xFF\x01\x01\x02\0\0\0\x03abc", OK])),
        ("two results", CLASSIC, QUERIES, packets(1, &[&[0, 1, 2, 10, 0, 3, 0], b"\x01", COLUMN, EOF, EOF])),
        ("statistics", CLASSIC, Reply::Text, packets(1, &[b"Uptime: 7"])),
        (
            "a prepared statement",
            CLASSIC,
            Reply::Prepared { rename: None },
            packets(1, &[b"\0\x01\0\0\0\x01\0\x02\0\0\0\0", COLUMN, COLUMN, EOF, COLUMN, EOF]),
        ),
        ("a cursor", CLASSIC, Reply::Executed, packets(1, &[b"\x01", COLUMN, &[0xFE, 0, 0, 0x42, 0]])),
    ];
    for (name, side, reply, bytes) in cases {
        let mut after = bytes.clone();
        after.extend_from_slice(b"what follows");
        let (sent, outcome) = client_gets(side, side, reply, &after);
        assert_eq!(sent, bytes, "{name}");
        assert_eq!(outcome.error.is_some(), name.contains("error"), "{name}");
    }
}

#[test]
fn an_outcome_is_what_the_packets_say() {
    let (_, ok) = client_gets(MODERN, MODERN, QUERIES, &packets(1, &[OK]));
    assert_eq!((ok.affected_rows, ok.last_insert_id, ok.warnings), (1, 2, 3));
    assert_eq!((ok.status, ok.results), (Status::AUTOCOMMIT, 1));
    let (_, error) = client_gets(MODERN, MODERN, QUERIES, &packets(1, &[b"\xFF\x48\x04#42S02gone"]));
    let error = error.error.unwrap();
    assert_eq!((error.code, &error.sqlstate, error.message.as_str()), (1096, b"42S02", "gone"));
    let (_, early) = client_gets(MODERN, MODERN, QUERIES, &packets(0, &[b"\xFF\x48\x04gone"]));
    assert_eq!(early.error.unwrap().sqlstate, *b"HY000", "from a thread that does not count");
}

#[test]
fn eof_is_put_back_for_who_misses_it() {
    let before = [&b"\x01"[..], COLUMN];
    let cases: [(&str, Reply, Payloads, Payloads); 8] = [
        ("rows", QUERIES, vec![b"\x011", END], vec![EOF, b"\x011", EOF]),
        ("no rows", QUERIES, vec![END], vec![EOF, EOF]),
        ("an error", QUERIES, vec![b"\xFF\x48\x04x"], vec![EOF, b"\xFF\x48\x04x"]),
        (
            "rows, then OK",
            QUERIES,
            vec![b"\x011", &[0xFE, 0, 0, 10, 0, 0, 0], OK],
            vec![EOF, b"\x011", &[0xFE, 0, 0, 10, 0], OK],
        ),
        ("a cursor", Reply::Executed, vec![&[0xFE, 0, 0, 0x42, 0, 0, 0]], vec![&[0xFE, 0, 0, 0x42, 0]]),
        (
            "binary rows",
            Reply::Executed,
            vec![b"\0\0\x07", b"\0\0\x08", END],
            vec![EOF, b"\0\0\x07", b"\0\0\x08", EOF],
        ),
        (
            "OUT parameters",
            Reply::Executed,
            vec![b"\0\0\x07", &[0xFE, 0, 0, 10, 0x10, 0, 0], OK],
            vec![&[0xFE, 0, 0, 2, 0x10], b"\0\0\x07", &[0xFE, 0, 0, 10, 0x10], OK],
        ),
        (
            "session changes",
            QUERIES,
            vec![&[0xFE, 0, 0, 2, 0x40, 0, 0, 0, 5, 1, 3, 2, b'd', b'b']],
            vec![EOF, EOF],
        ),
    ];
    for (name, reply, server, client) in cases {
        let server = packets(1, &[&before[..], &server].concat());
        let (sent, outcome) = client_gets(CLASSIC, MODERN, reply, &server);
        assert_eq!(sent, packets(1, &[&before[..], &client].concat()), "{name}");
        assert_eq!(outcome.changes().count(), usize::from(name == "session changes"));
    }
    let prepared = &b"\0\x09\0\0\0\x01\0\x01\0\0\0\0"[..];
    let renamed = &b"\0\x07\0\0\0\x01\0\x01\0\0\0\0"[..];
    let server = packets(1, &[prepared, COLUMN, COLUMN]);
    let (sent, outcome) = client_gets(CLASSIC, MODERN, Reply::Prepared { rename: Some(7) }, &server);
    assert_eq!(sent, packets(1, &[renamed, COLUMN, EOF, COLUMN, EOF]));
    assert_eq!(outcome.prepared, Some(Prepared { id: 9, columns: 1, parameters: 1 }));
    let (sent, _) = client_gets(CLASSIC, MODERN, Reply::One, &packets(1, &[END]));
    assert_eq!(sent, packets(1, &[EOF]), "COM_SET_OPTION");
}

#[test]
fn a_client_is_told_the_changes_that_it_asked_for() {
    // Text, then: the schema is "a", last_gtid is "0-1-7".
    let changes = b"\x04text\x16\x01\x02\x01a\0\x10\x09last_gtid\x050-1-7";
    let ok = [&[0, 0, 0, 2, 0x40, 0, 0][..], changes].concat();
    let server = packets(1, &[&ok]);
    let (sent, outcome) = client_gets(CLASSIC, MODERN, QUERIES, &server);
    assert_eq!(sent, packets(1, &[b"\0\0\0\x02\0\0\0\x04text"]), "who tracks nothing");
    assert_eq!(outcome.changes().count(), 2);
    let (sent, _) = client_gets(MODERN, MODERN, QUERIES, &server);
    assert_eq!(sent, packets(1, &[b"\0\0\0\x02\x40\0\0\x04text\x04\x01\x02\x01a"]), "who tracks the schema");
    let mut all = Follower::new(MODERN);
    all.track(None);
    all.begin(QUERIES, 1, MODERN);
    assert_eq!(followed(&mut all, &server, &[]).unwrap(), server, "who tracks everything");
}

#[test]
fn a_row_may_begin_like_an_end_and_be_longer_than_a_frame() {
    // Its first column is 16 MB or more, so that its length begins with 0xFE.
    let mut row = vec![0xFE, 0, 0, 0, 1, 0, 0, 0, 0];
    row.resize(0x100_0000 + 9, b'x');
    let bytes = packets(1, &[b"\x01", COLUMN, &row, b"\x011", END]);
    let mut follower = Follower::new(MODERN);
    follower.begin(QUERIES, 1, MODERN);
    let cuts: Vec<usize> = (0..40).chain(0x100_0010..0x100_0040).collect();
    assert!(followed(&mut follower, &bytes, &cuts).unwrap() == bytes);
    assert_eq!((follower.outcome().rows, follower.is_done()), (2, true));
}

#[test]
fn what_a_server_must_not_send_is_an_error() {
    let cases: [(&str, Reply, Vec<u8>, &str); 9] = [
        ("a wrong number", QUERIES, packets(2, &[OK]), "OutOfOrder"),
        (
            "a wrong number later",
            QUERIES,
            [packets(1, &[b"\x01"]), packets(4, &[COLUMN])].concat(),
            "OutOfOrder",
        ),
        ("a file for a statement", Reply::Executed, packets(1, &[b"\xFBname"]), "FileNotAllowed"),
        (
            "a file not allowed",
            Reply::Results { local_infile: false },
            packets(1, &[b"\xFBname"]),
            "FileNotAllowed",
        ),
        ("an empty packet", QUERIES, packets(1, &[b""]), "Malformed"),
        ("half an OK", QUERIES, packets(1, &[&OK[..4]]), "Malformed"),
        ("rows for a ping", Reply::One, packets(1, &[b"\x01"]), "Unexpected"),
        ("EOF for a query", QUERIES, packets(1, &[EOF]), "Unexpected"),
        ("no EOF after columns", QUERIES, packets(1, &[b"\x01", COLUMN, b"\x011"]), "Unexpected"),
    ];
    for (name, reply, bytes, error) in cases {
        let said = refused(reply, &bytes);
        assert!(said.starts_with(error), "{name}: {said}");
    }
    let huge = Header { length: WATCHED + 1, sequence: 1 }.to_bytes();
    assert!(refused(QUERIES, &[&huge[..], &[0]].concat()).starts_with("TooLong"), "an OK of a megabyte");
}
