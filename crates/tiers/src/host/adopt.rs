//! Taking over the processes of the daemon before: by their records, never by their names.

use super::cgroup;
use super::clock;
use super::error::{FileError, HostError};
use super::files;
use super::log;
use super::processes::{Processes, Shared};
use super::record::Record;
use super::stop;
use super::table::{Dead, Entry};
use std::sync::Arc;
use stoa_model::observed::Exited;
use stoa_model::{InstanceId, Millis, Spec};

/// For a stop that the daemon before began on something this version does not know.
const UNKNOWN_GRACE: Millis = Millis::from_secs(60);

impl Processes {
    /// Reads all records, watches what lives and remembers what died; returns who lives. What belongs to
    /// another boot is forgotten, and a stop that was under way goes on. To be called once, before
    /// anything is started.
    pub async fn adopt(&self) -> Result<Vec<InstanceId>, HostError> {
        let folder = self.shared.paths.run().join("pid");
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at("read", &folder))?,
        };
        let mut alive = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let instance = name.to_str().and_then(|name| name.strip_suffix(".json"));
            let Some(instance) = instance.and_then(|id| id.parse().ok()) else { continue };
            if self.adopt_one(instance)? {
                alive.push(instance);
            }
        }
        alive.sort_unstable();
        Ok(alive)
    }

    fn adopt_one(&self, instance: InstanceId) -> Result<bool, HostError> {
        let shared = &self.shared;
        let path = shared.paths.process_record(instance);
        let record = match Record::load(&path) {
            Ok(record) => record,
            Err(why) => {
                tracing::error!(%instance, path = %path.display(), why, "its record cannot be read");
                shared.table().insert(instance, Entry::Unreadable(why));
                return Ok(false);
            }
        };
        let Some(process) = record.process.filter(|_| record.of_this_boot()) else {
            // Another boot, or the daemon died before there was a process.
            if let Some(group) = &record.cgroup {
                cgroup::remove(group);
            }
            files::remove_file(&path)?;
            return Ok(false);
        };
        let stopping = record.stopping;
        let grace = record.spec.as_ref().map_or(UNKNOWN_GRACE, Spec::stop_timeout);
        if record.ended.is_none() && process.is_alive() && shared.watch(record.clone(), process).is_ok() {
            tracing::info!(%instance, pid = process.pid, "taken over");
            if stopping {
                let processes = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = processes.stop(instance, grace).await {
                        tracing::warn!(%error, %instance, "its stop did not come to an end");
                    }
                });
            }
            return Ok(true);
        }
        bury(shared, record);
        if stopping {
            let shared = shared.clone();
            tokio::spawn(async move { stop::finish(&shared, instance).await });
        }
        Ok(false)
    }
}

/// It died while no daemon was there.
fn bury(shared: &Arc<Shared>, mut record: Record) {
    if record.ended.is_none() {
        record.end(clock::now(), Exited::UNTOLD.to_owned());
        shared.write_down(&record);
    }
    let last_lines = log::last_words(&shared.paths.log(record.instance));
    shared.table().insert(record.instance, Entry::Dead(Box::new(Dead { record, last_lines })));
}
