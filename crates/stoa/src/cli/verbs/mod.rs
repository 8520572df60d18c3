//! The verbs, one a file: what each asks of the daemon and in what order.

pub(crate) mod change;
pub(crate) mod db;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod releases;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod up;

mod destroy;
