//! `stoa.toml` as written -> [`crate::Site`].
