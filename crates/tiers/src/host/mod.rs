//! This host: processes, users, ports, cgroups, logs.

pub mod launch;
