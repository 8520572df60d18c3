//! The splitter: one database address that sends writes to the primary and reads to the replicas.
//!
//! What a statement is, is judged in three rooms that hold no state and allocate nothing a statement:
//! [`lexer`] turns its bytes into tokens as the server would, [`classify()`] says where it may run and what
//! it leaves behind in the session, [`digest()`] gives statements that differ in their literals one number.

pub mod classify;
pub mod digest;
pub mod lexer;

pub use classify::{Kind, Reason, Route, Statement, classify, statements};
pub use digest::{Digest, digest, digest_text};
pub use lexer::{Charset, Dialect, Engine};
