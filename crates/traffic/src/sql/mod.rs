//! The splitter: one address for the database that sends writes to the primary and reads to the replicas.

pub mod wire;
