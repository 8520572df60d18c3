//! Settings of a running server that are not as they were rendered: somebody has changed them by hand.

use super::words;
use std::collections::BTreeMap;
use stoa_model::site::DatabaseEngine;
use stoa_model::spec::DatabaseSpec;

/// What safety rests on, and the value each has to have.
const MARIADB: &[(&str, &str)] = &[
    ("innodb_flush_log_at_trx_commit", "1"),
    ("sync_binlog", "1"),
    ("binlog_format", "ROW"),
    ("log_bin", "ON"),
    ("log_slave_updates", "ON"),
    ("gtid_strict_mode", "ON"),
    ("rpl_semi_sync_master_wait_point", "AFTER_SYNC"),
    ("rpl_semi_sync_master_timeout", "31536000000"),
];

const MYSQL: &[(&str, &str)] = &[
    ("innodb_flush_log_at_trx_commit", "1"),
    ("sync_binlog", "1"),
    ("log_bin", "ON"),
    ("log_replica_updates", "ON"),
    ("gtid_mode", "ON"),
    ("enforce_gtid_consistency", "ON"),
    ("replica_preserve_commit_order", "ON"),
    ("rpl_semi_sync_source_wait_point", "AFTER_SYNC"),
    ("rpl_semi_sync_source_timeout", "31536000000"),
];

const fn wanted(engine: DatabaseEngine) -> &'static [(&'static str, &'static str)] {
    match engine {
        DatabaseEngine::Mariadb => MARIADB,
        DatabaseEngine::Mysql => MYSQL,
    }
}

/// The names of all that is looked at, as a list of literals.
pub(super) fn names(engine: DatabaseEngine) -> String {
    let names = wanted(engine).iter().map(|(name, _)| *name).chain(["server_id", words::of(engine).waits]);
    names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// What differs, in sentences such as `sync_binlog is 0, not 1`.
pub(super) fn of(found: &BTreeMap<String, String>, spec: &DatabaseSpec) -> Vec<String> {
    let server_id = spec.server_id.to_string();
    let wanted = wanted(spec.engine).iter().copied().chain([("server_id", server_id.as_str())]);
    let differs = wanted.filter_map(|(name, wanted)| {
        let found = found.get(name)?;
        (found != wanted).then(|| format!("{name} is {found}, not {wanted}"))
    });
    differs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_by_hand_is_told() {
        let spec = super::super::render::tests::spec();
        let found = |changed: &[(&str, &str)]| -> BTreeMap<String, String> {
            let all = MARIADB.iter().copied().chain([("server_id", "1")]).chain(changed.iter().copied());
            all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        assert_eq!(of(&found(&[]), &spec), Vec::<String>::new());
        assert_eq!(of(&BTreeMap::new(), &spec), Vec::<String>::new(), "what is not known is not wrong");
        assert_eq!(
            of(&found(&[("sync_binlog", "0"), ("server_id", "7")]), &spec),
            ["sync_binlog is 0, not 1", "server_id is 7, not 1"]
        );
    }
}
