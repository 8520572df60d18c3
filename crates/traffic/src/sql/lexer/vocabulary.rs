//! The words that are known, in a table that is made when the crate is compiled.
//!
//! The lexer hashes a word while it looks for its end; finding it costs one more look into the table and
//! one comparison.

use super::Engine;
use super::functions::{Call, LISTS};
use super::words::{RESERVED, WORDS, Word};

/// What is known of a word.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    name: &'static str,
    hash: u32,
    pub(super) word: Word,
    /// What it calls in MariaDB and in MySQL.
    calls: [Call; 2],
    pub(super) reserved: bool,
}

impl Entry {
    const NONE: Self =
        Self { name: "", hash: 0, word: Word::None, calls: [Call::Unknown; 2], reserved: false };

    pub(super) const fn call(&self, engine: Engine) -> Call {
        match engine {
            Engine::MariaDb => self.calls[0],
            Engine::MySql => self.calls[1],
        }
    }
}

/// Where the hash of a word begins.
pub(super) const SEED: u32 = 0x811c_9dc5;

/// The hash with one more byte, the same for both cases of a letter.
pub(super) const fn mix(hash: u32, byte: u8) -> u32 {
    (hash ^ (byte | 0x20) as u32).wrapping_mul(0x0100_0193)
}

const SLOTS: usize = 2048;
const MOST: usize = 900;

struct Vocabulary {
    /// Index into `entries`; 0 is the entry that is none.
    slots: [u16; SLOTS],
    entries: [Entry; MOST],
    count: usize,
}

static VOCABULARY: Vocabulary = build();

/// What is known of `name`, whose hash is `hash`.
pub(super) fn find(name: &[u8], hash: u32) -> &'static Entry {
    let mut slot = place(hash);
    // Ends: the table is never full.
    loop {
        let index = VOCABULARY.slots[slot % SLOTS] as usize;
        let entry = &VOCABULARY.entries[index % MOST];
        // Letters are compared only where the hash is the same: once a word that is known, never for others.
        if index == 0 || (entry.hash == hash && entry.name.as_bytes().eq_ignore_ascii_case(name)) {
            return entry;
        }
        slot += 1;
    }
}

const fn place(hash: u32) -> usize {
    (hash ^ (hash >> 15)) as usize % SLOTS
}

const fn build() -> Vocabulary {
    let mut all = Vocabulary { slots: [0; SLOTS], entries: [Entry::NONE; MOST], count: 1 };
    let mut at = 0;
    while at < WORDS.len() {
        let index = all.index(WORDS[at].0);
        all.entries[index].word = WORDS[at].1;
        at += 1;
    }
    let mut names = RESERVED;
    while let Some((name, rest)) = first(names) {
        let index = all.index(name);
        all.entries[index].reserved = true;
        names = rest;
    }
    at = 0;
    while at < LISTS.len() {
        let (mut names, call, engine) = LISTS[at];
        while let Some((name, rest)) = first(names) {
            let index = all.index(name);
            if !matches!(engine, Some(Engine::MySql)) {
                all.entries[index].calls[0] = call;
            }
            if !matches!(engine, Some(Engine::MariaDb)) {
                all.entries[index].calls[1] = call;
            }
            names = rest;
        }
        at += 1;
    }
    all
}

/// The first of some names with one space between, and the others.
const fn first(names: &'static str) -> Option<(&'static str, &'static str)> {
    let bytes = names.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b' ' {
        end += 1;
    }
    match end {
        0 => None,
        _ if end == bytes.len() => Some((names, "")),
        _ => {
            let (name, rest) = names.split_at(end);
            Some((name, rest.split_at(1).1))
        }
    }
}

impl Vocabulary {
    /// The entry of a name, made where there is none yet.
    const fn index(&mut self, name: &'static str) -> usize {
        let bytes = name.as_bytes();
        let (mut hash, mut at) = (SEED, 0);
        while at < bytes.len() {
            hash = mix(hash, bytes[at]);
            at += 1;
        }
        let mut slot = place(hash);
        loop {
            let index = self.slots[slot % SLOTS] as usize;
            if index == 0 {
                self.slots[slot % SLOTS] = self.count as u16;
                self.entries[self.count].name = name;
                self.entries[self.count].hash = hash;
                self.count += 1;
                return self.count - 1;
            }
            if same(self.entries[index].name, name) {
                return index;
            }
            slot += 1;
        }
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
