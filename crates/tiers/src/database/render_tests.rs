use super::super::accounts::{mysql_statements, statements};
use super::*;
use crate::host::credentials::Credentials;
use stoa_model::site::Bytes;

pub(in crate::database) fn spec() -> DatabaseSpec {
    DatabaseSpec {
        engine: DatabaseEngine::Mariadb,
        endpoint: "127.0.0.1:20306".parse().map(Endpoint::Tcp).unwrap(),
        socket: Endpoint::Unix("/var/lib/stoa/shop/run/database-1/sock".into()),
        server_id: 1,
        name: "my_shop".to_owned(),
        memory: Bytes(256 << 20),
        tls: false,
        restart: 0,
    }
}

fn credentials() -> Credentials {
    let text = r#"{"app":"A","replication":"R","monitor":"M","admin":"it's \\ ok","cache":"C"}"#;
    serde_json::from_str(text).unwrap()
}

const DATABASE_1: InstanceId = InstanceId::new(Tier::Database, 1);

#[test]
fn my_cnf() {
    let paths = Paths::new("/var/lib/stoa/shop");
    let launch = launch(DATABASE_1, &spec(), &paths, None).unwrap();
    insta::assert_snapshot!(launch.files[0].text);
    assert_eq!(launch.argv.len(), 2);
    assert!(!format!("{launch:?}").contains("it's"), "a secret in the launch");
}

#[test]
fn my_cnf_of_mysql() {
    let spec = DatabaseSpec { engine: DatabaseEngine::Mysql, ..spec() };
    insta::assert_snapshot!(render(DATABASE_1, &spec, &Paths::new("/var/lib/stoa/shop")).unwrap());
}

#[test]
fn accounts_of_mysql() {
    insta::assert_snapshot!(mysql_statements("my_shop", &credentials()).unwrap());
}

#[test]
fn accounts() {
    insta::assert_snapshot!(statements("my_shop", &credentials()).unwrap());
    assert!(matches!(statements("mysql", &credentials()), Err(DatabaseError::ReservedName { .. })));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let odd = Paths::new("/var/lib/\"stoa\n/shop");
    assert!(matches!(render(DATABASE_1, &spec(), &odd), Err(DatabaseError::Unwritable { .. })));
}
