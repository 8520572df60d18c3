use super::*;

const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
const ATTRIBUTES: Capabilities = PLAIN.union(Capabilities::QUERY_ATTRIBUTES);

#[test]
fn commands_are_read_and_their_answers_known() {
    let query = |sql| Command::Query(Query { sql, attributes: b"" });
    let local = Reply::Results { local_infile: false };
    let cases: [(&[u8], Command<'_>, Reply); 22] = [
        (b"\x01", Command::Quit, Reply::Nothing),
        (b"\x02shop", Command::InitDb(b"shop"), Reply::One),
        (b"\x03SELECT 1", query(b"SELECT 1"), local),
        (b"\x04t\0%", Command::FieldList(b"t\0%"), Reply::Fields),
        (b"\x07\x04", Command::Refresh(4), Reply::One),
        (b"\x09", Command::Statistics, Reply::Text),
        (b"\x0A", Command::ProcessInfo, local),
        (b"\x0C\x07\0\0\0", Command::ProcessKill(7), Reply::One),
        (b"\x0D", Command::Debug, Reply::One),
        (b"\x0E", Command::Ping, Reply::One),
        (b"\x11u\0\0\0", Command::ChangeUser, Reply::One),
        (b"\x12\0\0\0\0", Command::Replication(0x12), Reply::One),
        (b"\x16SELECT ?", Command::Prepare(b"SELECT ?"), Reply::Prepared { rename: None }),
        (b"\x17\x07\0\0\0\x01\x01\0\0\0", Command::Execute { statement: 7, cursor: 1 }, Reply::Executed),
        (b"\x18\x07\0\0\0\x02\0abc", Command::SendLongData { statement: 7, parameter: 2 }, Reply::Nothing),
        (b"\x19\x07\0\0\0", Command::Close(7), Reply::Nothing),
        (b"\x1A\x07\0\0\0", Command::Reset(7), Reply::One),
        (b"\x1B\0\0", Command::SetOption { multi_statements: true }, Reply::One),
        (b"\x1C\x07\0\0\0\x0A\0\0\0", Command::Fetch { statement: 7, rows: 10 }, Reply::Rows),
        (b"\x1F", Command::ResetConnection, Reply::One),
        (b"\xFA\x07\0\0\0\x80\0", Command::BulkExecute { statement: 7, flags: 128 }, Reply::Executed),
        (b"\x05shop", Command::Unknown(5), Reply::One),
    ];
    for (payload, command, reply) in cases {
        assert_eq!(Command::parse(payload, PLAIN), Ok(command));
        assert_eq!(command.reply(PLAIN), reply, "{command:?}");
        let mut renamed = payload.to_vec();
        assert_eq!(set_statement(&mut renamed, 9), command.statement().is_some(), "{command:?}");
        let statement = Command::parse(&renamed, PLAIN).unwrap().statement();
        assert_eq!(statement, command.statement().map(|_| 9));
    }
    let local = query(b"").reply(PLAIN | Capabilities::LOCAL_FILES);
    assert_eq!(local, Reply::Results { local_infile: true });
}

#[test]
fn what_is_cut_short_is_refused() {
    for payload in
        [&b""[..], b"\x0C\x07", b"\x17\x07\0\0", b"\x17\x07\0\0\0", b"\x19\x07", b"\x1B", b"\xFA\x07\0\0\0"]
    {
        assert!(Command::parse(payload, PLAIN).is_err(), "{payload:?}");
    }
}

#[test]
fn query_attributes_stand_before_the_statement() {
    // From the protocol's documentation: n1 is "hello" and n2 NULL; then none at all.
    let with = b"\x03\x02\x01\x02\x01\xFE\0\x02n1\x06\0\x02n2\x05helloSELECT 1";
    let Ok(Command::Query(query)) = Command::parse(with, ATTRIBUTES) else { panic!() };
    assert_eq!((query.sql, query.attributes), (&b"SELECT 1"[..], &with[1..with.len() - 8]));
    let without = Command::parse(b"\x03\0\x01SELECT 1", ATTRIBUTES);
    assert_eq!(without, Ok(Command::Query(Query { sql: b"SELECT 1", attributes: b"\0\x01" })));
    // One of each kind that has a length of its own.
    let kinds: [(u8, &[u8]); 8] = [
        (1, b"1"),
        (2, b"12"),
        (3, b"1234"),
        (4, b"1234"),
        (5, b"12345678"),
        (8, b"12345678"),
        (12, b"\x041234"),
        (0xFC, b"\xFC\x02\0ab"),
    ];
    for (kind, value) in kinds {
        let payload = [&b"\x03\x01\x01\0\x01"[..], &[kind, 0], b"\0", value, b"DO 1"].concat();
        let Ok(Command::Query(query)) = Command::parse(&payload, ATTRIBUTES) else { panic!("{kind}") };
        assert_eq!(query.sql, b"DO 1", "{kind}");
        let cut = payload.len() - 5;
        assert!(Command::parse(&payload[..cut], ATTRIBUTES).is_err(), "{kind} cut short");
    }
    let many = [&b"\x03\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x01"[..], &[0; 40]].concat();
    assert!(Command::parse(&many, ATTRIBUTES).is_err(), "as many as fit no packet");
}
