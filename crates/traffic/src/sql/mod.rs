//! The splitter.
