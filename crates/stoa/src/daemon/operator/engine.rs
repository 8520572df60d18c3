//! Whether a site's database may be of another engine than before.

use crate::api::types::Problem;
use stoa_model::Site;
use stoa_model::site::DatabaseEngine;

/// Refuses another engine: neither reads what the other has written.
pub(super) fn refuse(before: &Site, now: &Site) -> Result<(), Problem> {
    let (Some(before), Some(now)) = (&before.database, &now.database) else { return Ok(()) };
    if before.engine == now.engine {
        return Ok(());
    }
    let (was, wanted) = (name(before.engine), name(now.engine));
    Err(Problem {
        what: format!("[database] engine = \"{wanted}\" cannot be put in the place of \"{was}\""),
        why: format!("the site's data is of {was}, which {wanted} does not read; nothing was changed"),
        next: format!(
            "write engine = \"{was}\" again; or dump the data (stoa db shell), stoa down --destroy, stoa up, and load it"
        ),
    })
}

fn name(engine: DatabaseEngine) -> &'static str {
    match engine {
        DatabaseEngine::Mariadb => "mariadb",
        DatabaseEngine::Mysql => "mysql",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn site(database: &str) -> Site {
        let text =
            format!("[site]\nname = \"a\"\ndomain = \"a.example\"\n[app]\nkind = \"static\"\n{database}");
        stoa_model::config::parse(&text, Path::new("/srv/a")).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    #[test]
    fn data_of_one_engine_is_not_given_to_the_other() {
        let (none, mariadb) = (site(""), site("[database]\n"));
        let mysql = site("[database]\nengine = \"mysql\"\n");
        for (before, now, refused) in [
            (&none, &mysql, false),
            (&mariadb, &none, false),
            (&mysql, &mysql, false),
            (&mariadb, &mysql, true),
            (&mysql, &mariadb, true),
        ] {
            assert_eq!(refuse(before, now).is_err(), refused, "{:?} {:?}", before.database, now.database);
        }
    }
}
