//! Settings of a running server that are not as they were rendered: somebody has changed them by hand.

use std::collections::BTreeMap;
use stoa_model::spec::DatabaseSpec;

/// What safety rests on, and the value each has to have.
const WANTED: [(&str, &str); 8] = [
    ("innodb_flush_log_at_trx_commit", "1"),
    ("sync_binlog", "1"),
    ("binlog_format", "ROW"),
    ("log_bin", "ON"),
    ("log_slave_updates", "ON"),
    ("gtid_strict_mode", "ON"),
    ("rpl_semi_sync_master_wait_point", "AFTER_SYNC"),
    ("rpl_semi_sync_master_timeout", "31536000000"),
];

/// The names of all that is looked at, as a list of literals.
pub(super) fn names() -> String {
    let names = WANTED.iter().map(|(name, _)| *name).chain(["server_id", "rpl_semi_sync_master_enabled"]);
    names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// What differs, in sentences such as `sync_binlog is 0, not 1`.
pub(super) fn of(found: &BTreeMap<String, String>, spec: &DatabaseSpec) -> Vec<String> {
    let server_id = spec.server_id.to_string();
    let wanted = WANTED.iter().copied().chain([("server_id", server_id.as_str())]);
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
            let all = WANTED.iter().copied().chain([("server_id", "1")]).chain(changed.iter().copied());
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
