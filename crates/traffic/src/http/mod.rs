//! The balancer: a lean streaming HTTP/1.1 engine with two faces.
//!
//! Visitors come in at the web face and are sent to nginx; nginx comes back in at the app face and is
//! sent to an application instance. Which instance, what is tried again elsewhere, what is ejected and
//! when it may come back is decided here, by this role alone and at once. Which instances there are is
//! never decided here: that is said by the routes, which arrive at the control socket.
//!
//! The way through the rooms: [`role`] starts a thread a core, each a [`worker`]; `listener` accepts;
//! `connection` reads requests one after another; `forward` sends and tries again, with the instance that
//! `ticket` chooses or waits for; `exchange` is one request to one instance.

pub mod limits;
pub mod role;

pub use crate::control;

pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod fastcgi;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod listener;
pub(crate) mod pages;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod queue;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod scan;
pub(crate) mod steward;
pub(crate) mod table;
pub(crate) mod target;
pub(crate) mod ticket;
pub(crate) mod tunnel;
pub(crate) mod websocket;
pub(crate) mod worker;

#[doc(hidden)]
pub mod proving;
